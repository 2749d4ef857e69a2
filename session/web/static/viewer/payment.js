/** The payment page's address as a whole one, or '#' where it is not a web address. */
export function safeURL(url) {
  try {
    const whole = new URL(url, location.origin);
    return ['http:', 'https:'].includes(whole.protocol) ? whole.href : '#';
  } catch {
    return '#';
  }
}

/** Opens the payment page beside this one. A browser may block it, so a link is always shown too. */
export function openPayment(url) {
  const whole = safeURL(url);
  if (whole !== '#') window.open(whole, '_blank', 'noopener,noreferrer');
}
