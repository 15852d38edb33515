// Opens a page's form beside the table instead of leaving the table. Without script the links are ordinary links.

const drawer = document.getElementById("drawer");
const body = document.getElementById("drawer-body");

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target !== body || drawer.open) return;
  drawer.showModal();
});

document.addEventListener("htmx:beforeSwap", (event) => {
  // A form with mistakes comes back as 422: it is shown, not thrown away.
  if (event.detail.target === body && event.detail.xhr.status === 422) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});

document.body.addEventListener("drawer-close", () => drawer.close());

drawer.addEventListener("click", (event) => {
  if (event.target.closest("[data-drawer-close]") || event.target === drawer) {
    event.preventDefault();
    drawer.close();
  }
});

// A secret must not linger in the page after the drawer is shut.
drawer.addEventListener("close", () => body.replaceChildren());
