(function () {
  "use strict";
  var table = document.getElementById("account-list");
  var tools = document.getElementById("account-tools");
  if (!table || !tools) { return; }
  var body = table.tBodies[0];
  var rows = Array.from(body.rows);
  var heads = Array.from(table.tHead.rows[0].cells);
  var words = document.getElementById("account-words");
  var process = document.getElementById("account-process");
  var alerted = document.getElementById("account-alerted");
  var order = document.getElementById("account-order");
  var countLine = document.getElementById("account-count");
  var more = document.getElementById("account-more");
  var STEP = window.matchMedia("(max-width: 39.9rem)").matches ? 10 : 50;
  var shown = STEP;
  var column = 1;
  var down = true;

  function count(number) { return number.toLocaleString("en"); }

  function value(row, at) {
    var cell = row.cells[at];
    var number = cell.getAttribute("data-value");
    return number === null ? cell.textContent.toLowerCase() : parseFloat(number);
  }

  function fits(row) {
    var text = row.textContent.toLowerCase();
    return (!alerted.checked || row.getAttribute("data-alert") === "1") &&
      (!process.value || row.querySelector("[data-open]").textContent.indexOf(process.value) >= 0) &&
      words.value.toLowerCase().split(/\s+/).every(function (word) { return text.indexOf(word) >= 0; });
  }

  function draw() {
    var place = new Map(rows.map(function (row, at) { return [row, at]; }));
    var keys = new Map(rows.map(function (row) { return [row, value(row, column)]; }));
    var kept = rows.filter(fits).sort(function (one, other) {
      var a = keys.get(one), b = keys.get(other);
      var sign = a < b ? -1 : a > b ? 1 : 0;
      return (down ? -sign : sign) || place.get(one) - place.get(other);
    });
    var there = new Set(kept);
    kept.concat(rows.filter(function (row) { return !there.has(row); })).forEach(function (row, at) {
      row.hidden = at >= Math.min(shown, kept.length);
      body.appendChild(row);
    });
    heads.forEach(function (head, at) {
      if (at === column) { head.setAttribute("aria-sort", down ? "descending" : "ascending"); }
      else { head.removeAttribute("aria-sort"); }
    });
    var seen = Math.min(shown, kept.length);
    countLine.textContent = count(seen) + " of " + count(kept.length) + " accounts shown" +
      (kept.length < rows.length ? ", chosen from " + count(rows.length) : "");
    more.hidden = seen === kept.length;
    order.value = String(column);
  }

  function sortBy(at) {
    down = at === column ? !down : heads[at].hasAttribute("data-number");
    column = at;
    draw();
  }

  heads.forEach(function (head, at) {
    var button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.addEventListener("click", function () { sortBy(at); });
    head.textContent = "";
    head.appendChild(button);
  });
  [words, process, alerted].forEach(function (one) {
    one.addEventListener("input", function () { shown = STEP; draw(); });
  });
  order.addEventListener("change", function () {
    column = Number(order.value);
    down = heads[column].hasAttribute("data-number");
    draw();
  });
  more.addEventListener("click", function () { shown += 200; draw(); });
  tools.hidden = false;
  draw();
})();
