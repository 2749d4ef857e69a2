/**
 * How long to wait before the next attempt: a random time up to a bound that doubles with each
 * failure, so that the viewers of a gateway that went away do not come back all at once.
 */
export class Backoff {
  /** @param {{first?: number, most?: number, random?: () => number}} [options] milliseconds */
  constructor({ first = 500, most = 20_000, random = Math.random } = {}) {
    Object.assign(this, { first, most, random, failures: 0 });
  }

  /** Milliseconds until the next attempt, never less than `atLeast`. */
  next(atLeast = 0) {
    const bound = Math.min(this.most, this.first * 2 ** this.failures);
    this.failures += 1;
    return atLeast + bound / 4 + this.random() * bound * 0.75;
  }

  reset() {
    this.failures = 0;
  }
}
