/** The longest path that the handler takes. */
const longest = 2048;

/**
 * Where this tab is, as the handler takes it: a path of this origin. An address that is too long loses its fragment, then its query: coming
 * back to less is better than not being able to go.
 */
export function here(): string {
  const { pathname, search, hash } = window.location;
  // The handler refuses what other programs may read as a host.
  const path = pathname.replace(/^\/+/, '/');
  const wanted = [path + search + hash, path + search, path].map((each) => each.replaceAll('\\', '%5C'));
  return wanted.find((each) => each.length <= longest) ?? '/';
}
