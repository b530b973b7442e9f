/* real-streaming: <script async src="/static/v6.js" data-stream="1"></script>
 * Sends one page_view, and whatever the page reports through realStreaming(name, params).
 * Attributes: data-stream (default "1"), data-endpoint (default: this script's origin + "/api/v1/streaming/").
 * Nothing here may ever throw into the page. */
(function (window, document) {
  "use strict";
  try {
    if (window.realStreaming) return;

    var script = document.currentScript || document.querySelector("script[data-stream]");
    var attribute = function (name) {
      return (script && script.getAttribute(name)) || "";
    };
    var base = (script && script.src) || window.location.href;
    var endpoint = attribute("data-endpoint") || new URL("/api/v1/streaming/", base).href;
    var url = endpoint.replace(/\/*$/, "/") + encodeURIComponent(attribute("data-stream") || "1");

    var post = function (body) {
      // A text body is sent as text/plain: no preflight, also across origins.
      if (window.fetch) {
        return window
          .fetch(url, { method: "POST", body: body, keepalive: true, credentials: "include", mode: "cors" })
          .catch(function () {});
      }
      if (window.navigator.sendBeacon) window.navigator.sendBeacon(url, body);
      return null;
    };

    // The first answer brings the visitor's cookie. Whatever is reported before it waits for it, or a new visitor
    // would be several; but no longer than a page that is left can wait.
    var waiting = null;
    var flush = function () {
      var bodies = waiting || [];
      waiting = [];
      flush = function () {};
      send = post;
      bodies.forEach(post);
    };
    var send = function (body) {
      if (waiting) {
        waiting.push(body);
        return;
      }
      waiting = [];
      var answer = post(body);
      if (!answer) return flush();
      answer.then(function () {
        flush();
      });
      window.setTimeout(function () {
        flush();
      }, 3000);
    };
    window.addEventListener("pagehide", function () {
      flush();
    });

    var report = function (name, params) {
      try {
        var all = {
          page_location: window.location.href,
          page_title: document.title,
          page_referrer: document.referrer
        };
        for (var key in params || {}) {
          if (Object.prototype.hasOwnProperty.call(params, key)) all[key] = params[key];
        }
        send(JSON.stringify({ event_name: name, event_timestamp: Date.now() * 1000, event_params: all }));
      } catch (ignored) {}
    };

    window.realStreaming = report;

    // A prerendered page has not been viewed yet.
    if (document.prerendering) {
      document.addEventListener(
        "prerenderingchange",
        function () {
          report("page_view");
        },
        { once: true }
      );
    } else {
      report("page_view");
    }
  } catch (ignored) {}
})(window, document);
