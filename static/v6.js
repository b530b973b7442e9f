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

    var send = function (body) {
      // A text body is sent as text/plain: no preflight, also across origins.
      if (window.fetch) {
        window
          .fetch(url, { method: "POST", body: body, keepalive: true, credentials: "include", mode: "cors" })
          .catch(function () {});
      } else if (window.navigator.sendBeacon) {
        window.navigator.sendBeacon(url, body);
      }
    };

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
