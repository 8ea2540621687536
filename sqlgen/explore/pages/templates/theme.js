/* sqlgen: light and dark */
(function () {
  var root = document.documentElement, key = "sqlgen-theme";
  function stored() { try { return localStorage.getItem(key); } catch (error) { return null; } }
  function current() {
    return root.dataset.theme || (window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  }
  var chosen = stored();
  if (chosen === "dark" || chosen === "light") { root.dataset.theme = chosen; }
  function tell() {
    var button = document.getElementById("theme");
    if (button) {
      button.textContent = current() === "dark" ? "Light" : "Dark";
      button.setAttribute("aria-label", "Change to the " + (current() === "dark" ? "light" : "dark") + " theme");
    }
    document.dispatchEvent(new CustomEvent("themechange", { detail: current() }));
  }
  document.addEventListener("DOMContentLoaded", function () {
    var button = document.getElementById("theme");
    if (button) {
      button.hidden = false;
      button.addEventListener("click", function () {
        root.dataset.theme = current() === "dark" ? "light" : "dark";
        try { localStorage.setItem(key, root.dataset.theme); } catch (error) { /* kept for this page only */ }
        tell();
      });
    }
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell);
    tell();
  });
})();
