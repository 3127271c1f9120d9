(function () {
  "use strict";
  var cohort = document.getElementById("explorer-cohort");
  var segment = document.getElementById("explorer-segment");
  var state = document.getElementById("explorer-state");
  var articles = Array.from(document.querySelectorAll("article"));

  function drawArticle(article, chosen) {
    var found = false;
    article.querySelectorAll("[data-segment]").forEach(function (one) {
      one.hidden = chosen !== "" && one.getAttribute("data-segment") !== chosen;
      found = found || !one.hidden;
    });
    article.querySelector("[data-whole]").hidden = chosen !== "";
    article.querySelector("[data-none]").hidden = chosen === "" || found;
    var fold = article.querySelector("details.segments");
    if (fold) {
      fold.open = chosen !== "";
      fold.hidden = chosen !== "" && !found;
    }
  }

  function draw() {
    var shown = articles.filter(function (article, place) {
      article.hidden = cohort.value !== "all" && cohort.value !== String(place);
      drawArticle(article, segment.value);
      return !article.hidden;
    });
    var what = shown.length === 1 ? shown[0].getAttribute("data-title") : shown.length + " comparisons";
    state.textContent = "Shown: " + what + ", " + (segment.value || "all accounts") + ".";
  }

  function follow() {
    var found = articles.findIndex(function (one) { return "#" + one.id === location.hash; });
    if (found >= 0) {
      cohort.value = String(found);
      segment.value = "";
      draw();
      articles[found].scrollIntoView();
    }
  }

  cohort.addEventListener("change", draw);
  segment.addEventListener("change", draw);
  window.addEventListener("hashchange", follow);
  document.getElementById("explorer-tools").hidden = false;
  cohort.value = "0";
  draw();
  follow();
})();
