// A link that keeps a question, behind the "#", which browsers send to no server: no log has the text.

export function makeLink(view, values) {
  const url = new URL(location.href);
  url.search = "";
  url.hash = new URLSearchParams({ view, ...values });
  return url.href;
}

// {view, values} of the link by which the page was opened; null if it keeps nothing.
export function readLink() {
  const { view, ...values } = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  return view === undefined ? null : { view, values };
}
