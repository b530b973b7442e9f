/* real-streaming: <script async src="/static/v6.js" data-stream="1"></script>
 * Sends one page_view, and whatever the page reports through realStreaming(name, params), each with an event_id, and once
 * more when the server is not ready for it.
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

    // By its id an event that comes twice is told from two events.
    var newId = function () {
      var crypto = window.crypto;
      if (crypto && crypto.randomUUID) return crypto.randomUUID();
      // A page without TLS has no randomUUID.
      var id = "";
      for (var n = 0; n < 4; n++) {
        var word = crypto && crypto.getRandomValues ? crypto.getRandomValues(new Uint32Array(1))[0] : Math.random() * 4294967296;
        id += ("0000000" + Math.floor(word).toString(16)).slice(-8);
      }
      return id;
    };

    // Across origins an answer that the page may not see looks like a broken network, though the event arrived: only once
    // an answer was seen does a failure mean that it did not.
    var isAnswerSeen = new URL(url).origin === window.location.origin;

    var post = function (event, isAgain) {
      // Once more, in a moment: with 503 the events were not taken, or not yet delivered.
      var again = function () {
        if (isAgain === true) return null;
        return new Promise(function (resolve) {
          window.setTimeout(function () {
            resolve(post(event, true));
          }, 1000 + 2000 * Math.random());
        });
      };
      try {
        // A text body is sent as text/plain: no preflight, also across origins.
        var body = event.slice(0, -1) + "," + JSON.stringify(browser).slice(1);
        if (window.fetch) {
          return window
            .fetch(url, { method: "POST", body: body, keepalive: true, credentials: "include", mode: "cors" })
            .then(
              function (answer) {
                isAnswerSeen = true;
                return answer.status === 503 ? again() : null;
              },
              function () {
                return isAnswerSeen ? again() : null;
              }
            );
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
      events.forEach(function (event) {
        post(event);
      });
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
        var now = Date.now() * 1000;
        send(JSON.stringify({ event_name: name, event_id: newId(), event_timestamp: now, event_params: all }));
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
