import { useState } from '../ui/html.js';
import { toast } from '../ui/toast.js';
import { explain, t } from '../i18n/index.js';

/** Own orders of a sale that hold stock. */
export function ordersOf(state, saleID) {
  const gone = ['ORDER_STATE_EXPIRED', 'ORDER_STATE_CANCELLED', 'ORDER_STATE_REFUND_DUE', 'ORDER_STATE_REFUNDED'];
  return Object.values(state.orders).filter((o) => o.sale_id === saleID && !gone.includes(o.state));
}

/**
 * What the buy button of a sale says, and whether it may be pressed. The server decides; this only
 * spares an attempt whose answer is known.
 * @returns {'sign_in'|'buying'|'yours'|'limit'|'ended'|'not_started'|'sold_out'|'paused'|'buy'}
 */
export function buyState({ session, state, sale, now, buying }) {
  if (buying) return 'buying';
  const own = ordersOf(state, sale.id);
  const pieces = own.reduce((sum, order) => sum + order.lines.reduce((n, line) => n + line.quantity, 0), 0);
  if (sale.per_buyer_limit > 0 && pieces >= sale.per_buyer_limit) return 'yours';
  if (sale.phase === 'SALE_PHASE_ENDED' || now >= sale.ends_at_ms) return own.length > 0 ? 'yours' : 'ended';
  if (sale.starts_at_ms > now) return 'not_started';
  if (sale.sold_out || (sale.available <= 0 && sale.epoch > 0)) return own.length > 0 ? 'yours' : 'sold_out';
  if (!session.signedIn) return 'sign_in';
  if (sale.paused) return 'paused';
  return 'buy';
}

/** Buying a sale's piece: [whether it is under way, how to start]. */
export function useBuy(session, sale, onOrder) {
  const [buying, setBuying] = useState(false);
  const [limited, setLimited] = useState(false);
  const buy = async () => {
    if (buying) return;
    setBuying(true);
    try {
      const order = await session.room.buy(sale.id, 1);
      toast(t('bought'), 'good');
      onOrder(order);
    } catch (refusal) {
      if (refusal.reason === 'limit_per_buyer') setLimited(true);
      toast(explain(refusal), 'bad');
    } finally {
      setBuying(false);
    }
  };
  return { buying, limited, buy };
}
