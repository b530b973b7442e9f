/* real-streaming: <script async src="/static/v6.js" data-stream="1"></script>
 * Sends one page_view, and whatever the page reports through realStreaming(name, params).
 * Attributes: data-stream (default "1"), data-endpoint (default: this script's origin + "/api/v1/streaming/").
 * Nothing here may ever throw into the page. */
(function (window, document, navigator) {
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

    // What the User-Agent does not say.
    var browser = {
      language: navigator.language,
      max_touch_points: navigator.maxTouchPoints || 0,
      webdriver: navigator.webdriver,
      client_hints: navigator.userAgentData // the brands, at first
    };

    var post = function (event) {
      try {
        // A text body is sent as text/plain: no preflight, also across origins.
        var body = event.slice(0, -1) + "," + JSON.stringify(browser).slice(1);
        if (window.fetch) {
          return window
            .fetch(url, { method: "POST", body: body, keepalive: true, credentials: "include", mode: "cors" })
            .catch(function () {});
        }
        if (navigator.sendBeacon) navigator.sendBeacon(url, body);
      } catch (ignored) {}
      return null;
    };

    // Events that wait: the first until the browser has told about itself, the others until the first answer has
    // brought the visitor's cookie, or a new visitor would be several. None waits longer than the page stays.
    var waiting = [];
    var isReady = false;
    var isFirstSent = false;
    var flush = function () {
      var events = waiting || [];
      waiting = null;
      events.forEach(post);
    };
    var begin = function () {
      isReady = true;
      if (isFirstSent || !waiting || !waiting.length) return;
      isFirstSent = true;
      var answer = post(waiting.shift());
      if (!answer) return flush();
      answer.then(flush);
      window.setTimeout(flush, 10000);
    };
    var send = function (event) {
      if (!waiting) return post(event);
      waiting.push(event);
      if (isReady) begin();
    };
    window.addEventListener("pagehide", flush);

    var hints = navigator.userAgentData;
    if (hints && hints.getHighEntropyValues) {
      hints.getHighEntropyValues(["fullVersionList", "platformVersion", "model", "formFactors"]).then(function (values) {
        browser.client_hints = values;
        begin();
      }, begin);
      window.setTimeout(begin, 100);
    } else {
      begin();
    }

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
})(window, document, navigator);
