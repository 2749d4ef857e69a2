/**
 * Why a command or an HTTP request was not carried out. `reason` is one of the protocol's stable
 * words, or one of the SDK's own: `connection_lost` (not known whether it was carried out),
 * `timeout`, `closed`.
 */
export class Refusal extends Error {
  /** @param {{reason?: string, message?: string, code?: number, retry_after_ms?: number}} problem */
  constructor(problem) {
    super(problem.message || problem.reason);
    this.name = 'Refusal';
    this.reason = problem.reason || 'internal';
    this.code = problem.code ?? 0;
    /** Milliseconds to wait before asking again, 0 where waiting does not help. */
    this.retryAfter = problem.retry_after_ms ?? 0;
  }
}
