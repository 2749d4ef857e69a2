package loadtest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"livecart/session/stack/stacktest"
)

func TestHTMLGolden(t *testing.T) {
	var got bytes.Buffer
	r := sampleResult(t)
	if err := r.WriteHTML(&got); err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "testdata/report.golden.html", got.Bytes())
	if err := r.WriteHTML(brokenWriter{}); !errors.Is(err, errFull) {
		t.Errorf("%v", err)
	}
}

// What servers or users chose as a name must not become a part of the page.
func TestHTMLEscapes(t *testing.T) {
	const evil = `</script><script>alert("x")</script>`
	r := sampleResult(t)
	r.Scenario, r.Invalid, r.Marks[0].Text = evil, []string{evil}, evil
	r.Environment.Servers = []string{evil}
	r.Series.Gauges["server.dropped."+evil] = GaugeSeries{0, []float64{1, 2}}
	r.Latency[0].Name = evil
	var got bytes.Buffer
	if err := r.WriteHTML(&got); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got.String(), evil) || strings.Count(got.String(), "</script>") != 1 {
		t.Errorf("%s", got.String())
	}
}

// browserTab opens a page of a file in Chromium and returns what went wrong in it so far, when asked.
func browserTab(t *testing.T, path string) (ctx context.Context, problems func() []string) {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(stacktest.Chrome(t)), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	var mu sync.Mutex
	var found []string
	note := func(text string) {
		mu.Lock()
		defer mu.Unlock()
		found = append(found, text)
	}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal("browser:", err)
	}
	if err := chromedp.Listen(ctx, func(ev any) {
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			note(ev.ExceptionDetails.Text + " " + ev.ExceptionDetails.Exception.Description)
		case *runtime.EventConsoleAPICalled:
			note("console: " + string(ev.Type))
		case *log.EventEntryAdded:
			note(string(ev.Entry.Source) + ": " + ev.Entry.Text)
		case *network.EventRequestWillBeSent:
			if url := ev.Request.URL; !strings.HasPrefix(url, "file://") && !strings.HasPrefix(url, "data:") {
				note("request: " + url)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1200, 900)); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.Navigate("file://"+path)); err != nil {
		t.Fatal(err)
	}
	return ctx, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return found
	}
}

func evaluate[T any](t *testing.T, ctx context.Context, script string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return v
}

// The report is looked at as a person does: light and dark, wide and narrow, with the pointer on a chart.
func TestHTMLInABrowser(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.html")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sampleResult(t).WriteHTML(file), file.Close()); err != nil {
		t.Fatal(err)
	}
	ctx, problems := browserTab(t, path)
	if got := evaluate[string](t, ctx, `document.querySelector('[data-testid=verdict]').textContent`); got != "FAILED" {
		t.Errorf("the verdict is %q", got)
	}
	if got := evaluate[int](t, ctx, `document.querySelectorAll('svg').length`); got != 9 {
		t.Errorf("%d charts", got)
	}
	// Every line has a place within its chart and can be seen.
	if got := evaluate[string](t, ctx, `[...document.querySelectorAll('svg path')].filter((p) => {
		const line = p.getBBox();
		return !(line.x >= 62 && line.x + line.width <= 950.1 && line.y >= 11.9 && line.y + line.height <= 164.1) || getComputedStyle(p).stroke === 'none';
	}).map((p) => p.closest('svg').id + ' ' + p.getAttribute('d')).join('; ')`); got != "" {
		t.Errorf("lines out of place: %s", got)
	}
	if got := evaluate[string](t, ctx, `(() => {
		const svg = document.querySelector('svg#viewers'), box = svg.getBoundingClientRect();
		const at = box.left + box.width * (64 + (948 - 64) / 5) / 984;
		svg.dispatchEvent(new PointerEvent('pointermove', { clientX: at, clientY: box.top + 50 }));
		return [svg.closest('.card').querySelector('time').textContent, svg.closest('.card').querySelector('.legend').textContent,
			document.querySelector('svg#deliveries').closest('.card').querySelector('.legend').textContent].join('|');
	})()`); got != "at 1 s|viewers 160|delivered 10000" {
		t.Errorf("the cursor tells %q", got)
	}
	background := `getComputedStyle(document.body).backgroundColor`
	light := evaluate[string](t, ctx, background)
	shoot(t, ctx, "light")
	dark := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}}
	if err := chromedp.Do(ctx, func(ctx context.Context, tab *chromedp.Target) (done chromedp.Void, err error) {
		_, err = cdp.Call(ctx, tab, emulation.SetEmulatedMedia, dark)
		return done, err
	}); err != nil {
		t.Fatal(err)
	}
	if got := evaluate[string](t, ctx, background); got == light {
		t.Errorf("dark is %s as light is", got)
	}
	shoot(t, ctx, "dark")
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(390, 800)); err != nil {
		t.Fatal(err)
	}
	if got := evaluate[int](t, ctx, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); got > 0 {
		t.Errorf("a narrow page is %d too wide", got)
	}
	shoot(t, ctx, "narrow")
	// Problems come in order: when this one is noted, all of the page's are, and they would have been.
	evaluate[int](t, ctx, `(console.error('said'), fetch('http://127.0.0.1:1/').catch(() => 0).then(() => 0), 1)`)
	evaluate[int](t, ctx, `new Promise((done) => setTimeout(() => done(1)))`)
	found := problems()
	if len(found) < 2 || found[0] != "console: error" || !strings.Contains(found[1], "Content Security Policy") {
		t.Errorf("problems %q", found)
	}
}

// shoot keeps a picture of the whole page where the environment names a folder for them.
func shoot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	folder := os.Getenv("LIVECART_SCREENSHOTS")
	if folder == "" {
		return
	}
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "report "+name+".png"), picture, 0o644); err != nil {
		t.Fatal(err)
	}
}

// The chart of the load leaves out what was sent as offered, and commands, which may be sent again.
func TestLoadIsDrawnOnce(t *testing.T) {
	m := NewMeter(time.Now())
	for _, name := range []string{"offered.join", "sent.join", "sent.flash_buy", "offered.pin", "offered.like"} {
		m.Count(name, 3)
	}
	m.Count("sent.like", 2)
	r := Result{Counts: m.Totals(), Series: m.Series()}
	var names []string
	for _, track := range r.arrivalTracks() {
		names = append(names, track.name)
	}
	if want := []string{"offered.join", "offered.like", "offered.pin", "sent.like"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}
