/** Early events held at most; beyond it a whole snapshot is cheaper. */
const MAX_HELD = 1000;

/**
 * Puts numbered events in order. What comes early is held until what is missing has come; what is
 * contained already is dropped.
 */
export class Sequence {
  constructor() {
    /** Newest number delivered. */
    this.seq = 0;
    /** Newest number that the room is known to have. */
    this.head = 0;
    /** @type {Map<number, object>} */
    this.held = new Map();
  }

  /**
   * Takes an event and returns those that may be applied now, in order.
   * @param {object} event with seq above 0
   * @returns {object[]}
   */
  take(event) {
    if (event.seq > this.head) this.head = event.seq;
    if (event.seq <= this.seq) return [];
    this.held.set(event.seq, event);
    if (this.held.size > MAX_HELD) this.held.clear(); // still behind head, so it is asked for again
    return this.drain();
  }

  /** A snapshot contains everything up to seq. Returns held events that follow it at once. */
  restart(seq) {
    this.seq = seq;
    if (seq > this.head) this.head = seq;
    for (const held of [...this.held.keys()]) if (held <= seq) this.held.delete(held);
    return this.drain();
  }

  /** The room says how far it is. */
  sawHead(head) {
    if (head > this.head) this.head = head;
  }

  /** Forgets everything, for another room or a fresh snapshot of a room that started over. */
  clear() {
    this.seq = 0;
    this.head = 0;
    this.held.clear();
  }

  get behind() {
    return this.head > this.seq;
  }

  drain() {
    const ready = [];
    for (let next = this.held.get(this.seq + 1); next; next = this.held.get(this.seq + 1)) {
      this.held.delete(next.seq);
      this.seq = next.seq;
      ready.push(next);
    }
    return ready;
  }
}
