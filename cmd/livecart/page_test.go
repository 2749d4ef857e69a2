package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"livecart/proto"
	"livecart/session/stack/stacktest"
)

// patience is how long a page may take to show what is waited for.
const patience = 15 * time.Second

// screenshots names the environment variable with the folder that takes pictures of the pages; none
// are made without it.
const screenshots = "LIVECART_SCREENSHOTS"

// startBrowser starts a browser with an empty profile; it ends with the test.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	t.Setenv("TMPDIR", stacktest.DataDir(t)) // takes the profiles, and what the browser forgets there
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(stacktest.Chrome(t)), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("lang", "en-US"),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal("browser:", err)
	}
	return ctx
}

// page is a tab as a person has it. What is clicked must be there, enabled and not covered; what is
// read must be in sight. Every method waits for that, and fails the test when patience ends.
type page struct {
	t      *testing.T
	name   string
	ctx    context.Context
	cancel context.CancelFunc
	screen screen

	mu       sync.Mutex
	problems []string
	forgiven string // problems with this text are expected; "" for none
	resumed  int    // welcomes that went on where an earlier connection had ended
}

// screen is what a page is shown on.
type screen struct {
	width, height int64
	phone         bool
}

var (
	phone  = screen{430, 932, true}
	laptop = screen{1440, 900, false}
)

// openPage opens an address in a profile of its own. It closes with
// the test.
func openPage(t *testing.T, browser context.Context, name string, on screen, address string) *page {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	p := showPage(t, ctx, cancel, name, on)
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		t.Fatal(name, err)
	}
	return p
}

func showPage(t *testing.T, ctx context.Context, cancel context.CancelFunc, name string, on screen) *page {
	t.Helper()
	p := &page{t: t, name: name, ctx: ctx, cancel: cancel, screen: on}
	t.Cleanup(p.close)
	var options []chromedp.EmulateViewportOption
	if on.phone {
		options = append(options, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulatePortrait)
	}
	if err := chromedp.Listen(ctx, p.note); err != nil {
		t.Fatal(name, err)
	}
	hear := chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		now := true
		_, err := cdp.Call(ctx, tab, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: hearToasts, RunImmediately: &now})
		return err
	})
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(on.width, on.height, options...), hear); err != nil {
		t.Fatal(name, err)
	}
	return p
}

// hearToasts notes what the page says in passing.
const hearToasts = `window.said ??= [];
new MutationObserver((changes) => {
  for (const { addedNodes } of changes) {
    for (const node of addedNodes) {
      if (node.matches?.('[data-testid="toast"]')) window.said.push(node.innerText);
    }
  }
}).observe(document, { childList: true, subtree: true });`

// close closes the tab, which must have had no problems. A person closes a tab that was opened before
// another to get back to that: a browser does not draw what is behind.
func (p *page) close() {
	if p.ctx.Err() != nil {
		return // closed before
	}
	if p.t.Failed() {
		p.shot(strings.ReplaceAll(p.t.Name(), "/", " ") + " failed " + p.name)
	}
	for _, problem := range p.takeProblems() {
		p.t.Errorf("%s: %s", p.name, problem)
	}
	p.cancel()
}

// note takes down what the browser reports of the page.
func (p *page) note(ev any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		problem := ev.ExceptionDetails.Text
		if thrown := ev.ExceptionDetails.Exception; thrown != nil {
			problem += " " + thrown.Description
		}
		p.problem(problem)
	case *runtime.EventConsoleAPICalled:
		if ev.Type == runtime.ConsoleAPICalledTypeError || ev.Type == runtime.ConsoleAPICalledTypeAssert {
			var said strings.Builder
			for _, arg := range ev.Args {
				fmt.Fprintf(&said, " %s%s", arg.Value, arg.Description)
			}
			p.problem("console:" + said.String())
		}
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.EntryLevelError {
			p.problem(fmt.Sprintf("%s: %s %s", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL))
		}
	case *network.EventWebSocketFrameReceived:
		var frame proto.ServerFrame
		if err := proto.Decode(proto.JSON, ev.Response.PayloadData, &frame); err != nil {
			p.problem("a frame that is none: " + err.Error())
		}
		for _, event := range frame.Events {
			if event.GetSessionWelcome().GetResumed() {
				p.resumed++
			}
		}
	}
}

func (p *page) problem(text string) {
	if p.forgiven == "" || !strings.Contains(text, p.forgiven) {
		p.problems = append(p.problems, text)
	}
}

// takeProblems returns what went wrong since it was last asked. Events come in order, so an answer of
// the page proves that all before it are noted.
func (p *page) takeProblems() []string {
	if err := p.do(chromedp.Evaluate[chromedp.Void]("1")); err != nil {
		return []string{"the page is gone: " + err.Error()}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	problems := p.problems
	p.problems = nil
	return problems
}

// forgive lets problems with this text pass from now on; "" ends it.
func (p *page) forgive(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forgiven = text
}

func (p *page) resumes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.resumed
}

// eval calls a JavaScript function in the page.
func eval[T any](p *page, function string, args ...any) T {
	p.t.Helper()
	values, err := json.Marshal(append([]any{}, args...))
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	result, err := chromedp.Run(ctx, chromedp.Evaluate[T]("("+function+")(..."+string(values)+")", chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %s: %v", p.name, function, err)
	}
	return result
}

// do has the browser act, within patience.
func (p *page) do(action chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Do(ctx, action)
}

// until asks again and again until there is nothing more to wait for.
func (p *page) until(what string, missing func() string) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(15 * time.Millisecond) {
		why := missing()
		if why == "" {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: %s: %s", p.name, what, why)
		}
	}
}

// id selects elements by data-testid.
func id(name string) string { return fmt.Sprintf(`[data-testid=%q]`, name) }

// state selects an element by data-testid and another data- attribute.
func state(name, attribute, value string) string {
	return fmt.Sprintf(`%s[data-%s=%q]`, id(name), attribute, value)
}

// spot is where an element can be clicked, or why not.
type spot struct {
	X, Y float64
	Why  string
}

const whereToClick = `async (selector) => {
  const element = document.querySelector(selector);
  if (!element?.checkVisibility()) return { why: 'is not in sight' };
  if (element.matches(':disabled')) return { why: 'is disabled' };
  element.scrollIntoView({ block: 'nearest', behavior: 'instant' });
  const middle = () => {
    const { x, y, width, height } = element.getBoundingClientRect();
    return { x: Math.round(x + width / 2), y: Math.round(y + height / 2) };
  };
  const before = middle();
  await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
  const at = middle();
  const sliding = document.getAnimations().some(({ playState, effect }) => playState === 'running'
    && effect.getComputedTiming().endTime < Infinity && effect.target.contains(element));
  if (sliding || at.x !== before.x || at.y !== before.y) return { why: 'does not stand still' };
  const above = document.elementFromPoint(at.x, at.y);
  if (!above) return { why: 'is off the screen' };
  if (!element.contains(above)) return { why: 'is covered by ' + above.outerHTML.slice(0, 200) };
  window.missed = false;
  const look = ({ target }) => { window.missed = !element.contains(target) && !target.closest(selector); };
  window.addEventListener('click', look, { capture: true, once: true });
  return at;
}`

// click clicks the middle of an element with the mouse, or taps it on a phone.
func (p *page) click(selector string) {
	p.t.Helper()
	p.until("click "+selector, func() string {
		at := eval[spot](p, whereToClick, selector)
		if at.Why != "" {
			return at.Why
		}
		var press chromedp.Action[chromedp.Void]
		if p.screen.phone {
			press = chromedp.TapXY(at.X, at.Y)
		} else {
			press = chromedp.Steps(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, at.X, at.Y), chromedp.MouseClickXY(at.X, at.Y))
		}
		if err := p.do(press); err != nil {
			p.t.Fatalf("%s: click %s: %v", p.name, selector, err)
		}
		// The page may have changed under the finger.
		return eval[string](p, `() => window.missed ? 'has made room for another' : ''`)
	})
}

// fill types a text into a field in place of what it held.
func (p *page) fill(selector, text string) {
	p.t.Helper()
	p.click(selector)
	p.until("fill "+selector, func() string {
		return eval[string](p, `selector => {
  const field = document.querySelector(selector);
  if (document.activeElement !== field) return 'has no focus';
  field.select();
  return '';
}`, selector)
	})
	insert := chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, input.InsertText, input.InsertTextParams{Text: text})
		return err
	})
	if err := p.do(insert); err != nil {
		p.t.Fatalf("%s: fill %s: %v", p.name, selector, err)
	}
	p.until("fill "+selector, func() string {
		if got := eval[string](p, `selector => document.querySelector(selector).value`, selector); got != text {
			return fmt.Sprintf("holds %q, not %q", got, text)
		}
		return ""
	})
}

// choose picks an option of a select by its value.
func (p *page) choose(selector, value string) {
	p.t.Helper()
	p.until("choose "+selector, func() string {
		return eval[string](p, `(selector, value) => {
  const list = document.querySelector(selector);
  if (!list?.checkVisibility()) return 'is not in sight';
  if (![...list.options].some((option) => option.value === value)) return 'has no option ' + value;
  list.value = value;
  list.dispatchEvent(new Event('input', { bubbles: true }));
  list.dispatchEvent(new Event('change', { bubbles: true }));
  return '';
}`, selector, value)
	})
}

// see waits until an element in sight holds a text.
func (p *page) see(selector, text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("see %q in %s", text, selector), func() string {
		return eval[string](p, `(selector, text) => {
  const seen = [...document.querySelectorAll(selector)].filter((element) => element.checkVisibility()).map((element) => element.innerText);
  if (seen.some((words) => words.includes(text))) return '';
  return seen.length === 0 ? 'is not in sight' : 'says ' + seen.join(' | ').slice(-300);
}`, selector, text)
	})
}

// hear waits until the page has said a text in passing, since it was asked last. It may be gone by then.
func (p *page) hear(text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("hear %q", text), func() string {
		return eval[string](p, `(text) => {
  if (!window.said.some((words) => words.includes(text))) return 'said ' + window.said.join(' | ');
  window.said.length = 0;
  return '';
}`, text)
	})
}

// miss waits until no element in sight holds a text.
func (p *page) miss(selector, text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("miss %q in %s", text, selector), func() string {
		if p.count(selector, text) > 0 {
			return "is still in sight"
		}
		return ""
	})
}

// count returns how many elements in sight hold a text now.
func (p *page) count(selector, text string) int {
	p.t.Helper()
	return eval[int](p, `(selector, text) => [...document.querySelectorAll(selector)]
  .filter((element) => element.checkVisibility() && element.innerText.includes(text)).length`, selector, text)
}

// data waits for an element with a text and returns one of its data- attributes.
func (p *page) data(selector, text, attribute string) string {
	p.t.Helper()
	p.see(selector, text)
	return eval[string](p, `(selector, text, attribute) => [...document.querySelectorAll(selector)]
  .find((element) => element.innerText.includes(text)).dataset[attribute]`, selector, text, attribute)
}

// popup waits for the tab that the page opened at a path.
func (p *page) popup(name, path string) *page {
	p.t.Helper()
	var opened target.ID
	p.until("open "+path, func() string {
		targets, err := chromedp.Targets(p.ctx)
		if err != nil {
			p.t.Fatal(err)
		}
		for _, tab := range targets {
			if u, err := url.Parse(tab.URL); err == nil && u.Path == path && tab.BrowserContextID == chromedp.FromContext(p.ctx).BrowserContextID {
				opened = tab.TargetID
				return ""
			}
		}
		return "no such tab"
	})
	ctx, cancel := chromedp.NewContext(p.ctx, chromedp.WithTargetID(opened))
	return showPage(p.t, ctx, cancel, name, p.screen)
}

// shot takes a picture of the page if pictures are asked for.
func (p *page) shot(name string) {
	folder := os.Getenv(screenshots)
	if folder == "" {
		return
	}
	// What slides in is let come to rest; what turns for ever is not waited for.
	const rest = `Promise.all(document.getAnimations()
  .filter((animation) => animation.effect.getComputedTiming().endTime < 1000).map((animation) => animation.finished.catch(() => {}))).then(() => 1)`
	err := p.do(func(ctx context.Context, tab *chromedp.Target) (done chromedp.Void, err error) {
		if _, err = chromedp.Evaluate[int](rest, chromedp.EvalAwaitPromise)(ctx, tab); err != nil {
			return done, err
		}
		picture, err := chromedp.CaptureScreenshot()(ctx, tab)
		if err != nil {
			return done, err
		}
		return done, os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o644)
	})
	if err != nil {
		p.t.Errorf("%s: picture %s: %v", p.name, name, err)
	}
}
