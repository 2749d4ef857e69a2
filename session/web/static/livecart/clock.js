/** How many samples are looked at. */
const KEPT = 8;

/**
 * The server's time, measured by round trips. A sample is off by at most half its round trip, so the
 * shortest of the last few decides.
 */
export class Clock {
  constructor() {
    /** @type {{offset: number, roundTrip: number}[]} */
    this.samples = [];
    this.offset = 0;
  }

  /** Takes a first guess from a message that says the time; later ones do not beat a measurement. */
  guess(serverTime, received) {
    if (this.samples.length === 0 && serverTime > 0) this.offset = serverTime - received;
  }

  /** Takes a measurement; all in Unix milliseconds. */
  measure(sent, serverTime, received) {
    const roundTrip = Math.max(0, received - sent);
    this.samples.push({ offset: serverTime - (sent + roundTrip / 2), roundTrip });
    if (this.samples.length > KEPT) this.samples.shift();
    this.offset = this.samples.reduce((best, s) => (s.roundTrip < best.roundTrip ? s : best)).offset;
  }

  /** The server's time now, Unix milliseconds. */
  now() {
    return Date.now() + this.offset;
  }
}
