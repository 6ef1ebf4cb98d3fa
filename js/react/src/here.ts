/** The longest path that the handler accepts. */
const longest = 2048;

/**
 * Returns the address of this tab in the handler's form: a path of this origin. A long address loses its fragment, then its query,
 * so that the person can at least come back to the page.
 */
export function here(): string {
  const { pathname, search, hash } = window.location;
  // The handler refuses paths that other programs may read as a host.
  const path = pathname.replace(/^\/+/, '/');
  const wanted = [path + search + hash, path + search, path].map((each) => each.replaceAll('\\', '%5C'));
  return wanted.find((each) => each.length <= longest) ?? '/';
}
