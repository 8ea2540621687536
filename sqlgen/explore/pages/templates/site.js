/* sqlgen: pages of a project */
(function () {
  document.addEventListener("DOMContentLoaded", function () {
    var filter = document.getElementById("filter");
    if (filter) {
      var rows = Array.prototype.slice.call(document.querySelectorAll(".columns tbody tr"));
      var told = document.getElementById("filtered");
      filter.addEventListener("input", function () {
        var text = filter.value.trim().toLowerCase(), shown = 0;
        rows.forEach(function (row) {
          row.hidden = text !== "" && row.dataset.text.indexOf(text) < 0;
          if (!row.hidden) { shown += 1; }
        });
        told.textContent = text ? shown + " of " + rows.length + " columns" : "";
      });
    }
    var find = document.getElementById("find"), list = document.getElementById("found");
    if (find && window.SQLGEN_COLUMNS) {
      find.addEventListener("input", function () {
        var text = find.value.trim().toLowerCase();
        list.textContent = "";
        if (text.length < 2) { return; }
        var hits = window.SQLGEN_COLUMNS.filter(function (one) { return one[1].toLowerCase().indexOf(text) >= 0; });
        hits.slice(0, 60).forEach(function (one) {
          var item = document.createElement("li"), link = document.createElement("a");
          link.href = "models/" + one[0] + ".html#c-" + encodeURIComponent(one[1]);
          link.textContent = one[0] + "." + one[1];
          item.appendChild(link); list.appendChild(item);
        });
        document.getElementById("hits").textContent =
          hits.length > 60 ? "The first 60 of " + hits.length + " columns" : hits.length + " columns";
      });
    }
    Array.prototype.forEach.call(document.querySelectorAll(".dag"), function (svg) {
      function mark(name, on) {
        Array.prototype.forEach.call(svg.querySelectorAll(".curve"), function (curve) {
          if (curve.dataset.from === name || curve.dataset.to === name) { curve.classList.toggle("on", on); }
        });
      }
      Array.prototype.forEach.call(svg.querySelectorAll("a"), function (link) {
        ["mouseenter", "focus"].forEach(function (kind) { link.addEventListener(kind, function () { mark(link.dataset.name, true); }); });
        ["mouseleave", "blur"].forEach(function (kind) { link.addEventListener(kind, function () { mark(link.dataset.name, false); }); });
      });
      var current = svg.querySelector(".current"), box = svg.parentElement;
      if (current && box.scrollWidth > box.clientWidth) {
        box.scrollLeft = current.getBoundingClientRect().left - box.getBoundingClientRect().left - box.clientWidth / 2 + 90;
      }
    });
  });
})();
