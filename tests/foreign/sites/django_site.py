#!/usr/bin/env python3
"""A Django site in one file: its own admin with sessions and CSRF, an upload form, events, a web socket, ranges of a file.

    django_site.py PORT FOLDER     FOLDER holds the database and `root/`, whose files are served as they are
"""

import asyncio
import hashlib
import pathlib
import sys

import django
from django.conf import settings
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.urls import path

PORT, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()

settings.configure(
    SECRET_KEY="only-for-a-test-on-the-loopback",
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[
        "daphne", "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
        "django.contrib.messages", "django.contrib.staticfiles"],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware", "whitenoise.middleware.WhiteNoiseMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware", "django.middleware.clickjacking.XFrameOptionsMiddleware"],
    TEMPLATES=[{
        "BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
        "OPTIONS": {"context_processors": [
            "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
            "django.contrib.messages.context_processors.messages"]}}],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "site.sqlite3"}},
    ASGI_APPLICATION=f"{__name__}.application",
    STATIC_URL="/static/",
    WHITENOISE_USE_FINDERS=True,
    WHITENOISE_AUTOREFRESH=True,
    WHITENOISE_ROOT=FOLDER / "root",
    # A site behind a proxy takes the scheme from it, as Django's manual says. The host stays the visitor's.
    SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
    USE_TZ=True,
)
django.setup()

from django.contrib import admin  # noqa: E402 (needs the settings)
from django.core.asgi import get_asgi_application  # noqa: E402


def home(request):
    visits = request.session["visits"] = request.session.get("visits", 0) + 1
    response = HttpResponse(
        f"<!doctype html><title>home {visits}</title><h1>Home</h1><a id=next href=/page>page</a>"
        f"<form method=post action=/upload enctype=multipart/form-data>"
        f"<input type=hidden name=csrfmiddlewaretoken value='{get_token(request)}'>"
        f"<input type=text name=note><input type=file name=file><button>send</button></form>")
    response.set_cookie("plain", "ä b;c", max_age=3600, samesite="Lax")
    response.set_cookie("session-only", "1", httponly=True, samesite="Strict", path="/page")
    return response


def page(request):
    return HttpResponse(f"<!doctype html><title>page</title><p id=text>{request.GET.get('q', '')}</p><a id=back href=/>home</a>")


def upload(request):
    """Reads what was sent and tells what it was: by a redirect, as forms do."""
    digest = hashlib.sha256()
    size = 0
    for chunk in request.FILES["file"].chunks():
        digest.update(chunk)
        size += len(chunk)
    response = HttpResponse(status=303)
    response["Location"] = f"/page?q={size}-{digest.hexdigest()}-{request.POST['note']}"
    return response


async def events(request):
    async def lines():
        for number in range(5):
            yield f"id: {number}\ndata: event {number}\n\n"
            await asyncio.sleep(0.25)
        yield "event: done\ndata: end\n\n"
    return StreamingHttpResponse(lines(), content_type="text/event-stream", headers={"Cache-Control": "no-cache"})


def echo(request):
    return JsonResponse({
        "method": request.method, "path": request.get_full_path(), "raw": request.scope["raw_path"].decode(),
        "body": hashlib.sha256(request.body).hexdigest(), "headers": dict(sorted(request.headers.items())),
        "url": request.build_absolute_uri("/x")})


echo.csrf_exempt = True  # Anybody may ask for the mirror.


def status(request, code):
    return HttpResponse(b"" if code in (204, 304) else f"status {code}", status=code, headers={"X-Site": "django"})


urlpatterns = [
    path("", home), path("page", page), path("upload", upload), path("events", events), path("echo", echo),
    path("status/<int:code>", status), path("admin/", admin.site.urls)]

web = get_asgi_application()


async def web_socket(scope, receive, send):
    """Echoes; speaks the first protocol that it is offered."""
    await receive()
    await send({"type": "websocket.accept", "subprotocol": (scope["subprotocols"] or [None])[0]})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "close":
            await send({"type": "websocket.close", "code": 4001, "reason": "as asked"})
            return
        await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})


async def application(scope, receive, send):
    await (web_socket if scope["type"] == "websocket" else web)(scope, receive, send)


def main():
    from daphne.server import Server
    from django.contrib.auth.models import User
    from django.core.management import call_command

    (FOLDER / "site.sqlite3").unlink(missing_ok=True)
    call_command("migrate", verbosity=0)
    User.objects.create_superuser("alice", "alice@example.com", "correct horse")
    Server(application, endpoints=[f"tcp:port={PORT}:interface=127.0.0.1"], signal_handlers=True, verbosity=0).run()


if __name__ == "__main__":
    sys.modules["django_site"] = sys.modules[__name__]
    main()
