// The token comes in the address's fragment. It is moved into the tab's own storage, so that a copied
// or photographed address gives nobody else's account away and a reload still knows it.

// A room's console and its statement are one place.
const key = () => `livecart.token ${location.pathname.replace(/\/statement$/, '')}`;

/** Takes a token from the address, if there is one, and returns the one this page has, '' for none. */
export function takeToken() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const given = fragment.get('access_token');
  if (given !== null) {
    fragment.delete('access_token');
    const rest = fragment.toString();
    history.replaceState(null, '', location.pathname + location.search + (rest ? `#${rest}` : ''));
    if (given) sessionStorage.setItem(key(), given);
    else sessionStorage.removeItem(key());
  }
  return sessionStorage.getItem(key()) ?? '';
}

/** Goes on without a token. */
export function forgetToken() {
  sessionStorage.removeItem(key());
}
