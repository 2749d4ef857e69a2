import { useEffect, useState } from '../ui/html.js';
import { toast } from '../ui/toast.js';
import { explain } from '../i18n/index.js';

/** A press that must be confirmed waits this long for the second one, milliseconds. */
const SURE = 4000;

/** [whether it is under way, run(promise-giving function)]; a refusal is shown. */
export function useAct() {
  const [busy, setBusy] = useState(false);
  const run = async (act) => {
    setBusy(true);
    try {
      return await act();
    } catch (refusal) {
      toast(explain(refusal), 'bad');
      return undefined;
    } finally {
      setBusy(false);
    }
  };
  return [busy, run];
}

/** [whether the first press was made, press(act)]: acts on the second press within a few seconds. */
export function useSure() {
  const [asked, setAsked] = useState(false);
  useEffect(() => {
    if (!asked) return undefined;
    const timer = setTimeout(() => setAsked(false), SURE);
    return () => clearTimeout(timer);
  }, [asked]);
  const press = (act) => {
    setAsked(!asked);
    if (asked) act();
  };
  return [asked, press];
}
