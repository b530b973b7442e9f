#!/usr/bin/env python3
"""Compares answers of `real-streaming explain --user-agents` with labels; see accuracy.sh.

The labels are another detector's words, so what this measures is agreement, not truth. What has no counterpart in the
vocabulary of GA4 is left out of the score.
"""

import collections
import gzip
import json
import sys

CATEGORY = {
    "smartphone": "mobile", "phablet": "mobile", "feature phone": "mobile", "portable media player": "mobile",
    "wearable": "mobile", "desktop": "desktop", "tablet": "tablet", "tv": "smart tv", "console": "smart tv",
}
SYSTEM = {"Android": "Android", "iOS": "iOS", "Mac": "Macintosh", "Windows": "Windows", "GNU/Linux": "Linux",
          "Chrome OS": "Chrome OS"}
BROWSER = {
    "Chrome": "Chrome", "Chrome Mobile": "Chrome", "Chrome Mobile iOS": "Chrome", "Headless Chrome": "Chrome",
    "Chromium": "Chrome", "Chrome Webview": "Android Webview", "Safari": "Safari", "Mobile Safari": "Safari",
    "Samsung Browser": "Samsung Internet", "Microsoft Edge": "Edge", "Firefox": "Firefox", "Firefox Mobile": "Firefox",
    "Firefox Mobile iOS": "Firefox", "Firefox Focus": "Firefox", "Mobile Silk": "Amazon Silk", "Opera": "Opera",
    "Opera Mobile": "Opera", "Opera GX": "Opera", "Opera Touch": "Opera", "Mi Browser": "MIUI Browser",
    "Huawei Browser Mobile": "Huawei Browser", "Huawei Browser": "Huawei Browser",
    "DuckDuckGo Privacy Browser": "DuckDuckGo", "UC Browser": "UC Browser", "Yandex Browser": "YaBrowser",
    "vivo Browser": "Vivo Browser", "HeyTapBrowser": "HeyTap Browser", "Internet Explorer": "Internet Explorer",
    "Android Browser": "Android Browser",
}
# The Android that each Fire OS is made from, as Amazon lists them for developers: texts and GA4 know only that.
FIRE_OS = {"5": "5", "6": "7", "7": "9", "8": "11"}
BRAND = {"Tecno Mobile": "Tecno", "iTel": "Itel", "POCO": "Xiaomi", "Redmi": "Xiaomi"}


def browser(label):
    name = label["browser"]
    # A text without version comes from a page inside an app.
    if name in ("Safari", "Mobile Safari") and not label["browser_version"]:
        return "Safari (in-app)"
    if name in BROWSER:
        return BROWSER[name]
    if label["client_type"] == "mobile app":
        return "Safari (in-app)" if label["os_family"] == "iOS" else "Android Webview"
    return None


def system(label):
    return "Tizen" if label["os"] == "Tizen" else SYSTEM.get(label["os_family"])


def system_version(label, answer):
    """Major version; of macOS, whose first number stood still for twenty years, the first two."""
    said, ours = label["os_version"], answer["os_version"]
    if not said or system(label) not in ("Android", "iOS", "Macintosh", "Windows"):
        return None, None
    parts = 2 if system(label) == "Macintosh" else 1
    cut = lambda text: ".".join((text or "").split(".")[:parts])
    if label["os"] == "Fire OS":
        return FIRE_OS.get(cut(said)), cut(ours)
    return cut(said), cut(ours)


def main():
    labels, answers = sys.argv[1:3]
    scores = collections.defaultdict(lambda: [0, 0, collections.Counter(), {}])

    def count(what, said, ours, label):
        if said is None:
            return
        score = scores[what]
        score[1] += label["weight"]
        if said == ours:
            score[0] += label["weight"]
        else:
            score[2][said, ours] += label["weight"]
            score[3].setdefault((said, ours), label["ua"])

    with gzip.open(labels, "rt") as label_lines, open(answers) as answer_lines:
        for label_line, answer_line in zip(label_lines, answer_lines, strict=True):
            label, answer = json.loads(label_line), json.loads(answer_line)
            if label["bot"]:
                count("bots found", True, answer["bot"], label)
                continue
            if label["client_type"] in ("browser", "mobile app"):
                count("people let through", False, answer["bot"], label)
            count("browser", browser(label), answer["browser"], label)
            count("operating system", system(label), answer["os"], label)
            count("operating system version", *system_version(label, answer), label)
            count("category", CATEGORY.get(label["device_type"]), answer["category"], label)
            count("brand", BRAND.get(label["brand"], label["brand"]) or None, answer["brand"], label)

    for what, (agree, of, wrong, examples) in scores.items():
        print(f"{what}: {100 * agree / of:.2f} % of {of:,} hits")
        for pair, weight in wrong.most_common(6):
            print(f"    {weight:5} {pair[0]} is {pair[1]} here: {examples[pair][:150]}")


if __name__ == "__main__":
    main()
