// The theme is that of the reader's system until the button says otherwise. The theme's own script comes to the
// same, but late, and with an error in the console.
const page = document.documentElement.dataset;
page.mode ||= "auto";
page.theme ||= matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";

// From the file system a browser may not read one page from another: there the search lists titles only.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// The buttons that fold a section of the table of contents are an arrow without a word.
addEventListener("DOMContentLoaded", () => {
  for (const arrow of document.querySelectorAll(".bd-sidebar summary"))
    arrow.setAttribute("aria-label", `Pages under ${arrow.closest("li").querySelector("a").textContent.trim()}`);
});
