package fault

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"livecart/cart"
	"livecart/cart/sandbox"
	"livecart/proto"
	"livecart/session/store"
)

// bankSecret is what the bank and the processes share.
var bankSecret = "whsec_" + base64.StdEncoding.EncodeToString([]byte("another one of the suite"))

// noticePath is where gateways take notices.
const noticePath = "/v1/webhooks/payments/sandbox"

// bankSpeed divides the pauses before the bank sends a notice again: the first are 150 ms.
const bankSpeed = 100

// bank is the payment provider: a sandbox with books of its own. Gateways and ledgers reach it through
// its door, payers and the case go past that. It notifies the first gateway, over that one's front.
type bank struct {
	w      *world
	url    string
	door   *link
	client *sandbox.Client
}

// openBank opens the world's bank, until the test ends.
func (w *world) openBank() {
	w.t.Helper()
	server := httptest.NewUnstartedServer(nil)
	w.bank = &bank{w: w, url: "http://" + server.Listener.Addr().String(), door: newLink(w.t, server.Listener.Addr().String())}
	books, err := sandbox.New(sandbox.Config{
		BaseURL: w.bank.url, NotifyURL: "http://" + w.gateways[0].front.near() + noticePath, Secret: bankSecret, Speedup: bankSpeed,
	})
	w.must(err)
	w.bank.client, err = sandbox.NewClient(w.bank.url, bankSecret)
	w.must(err)
	server.Config.Handler = books
	server.Start()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- books.Run(ctx) }() // until the clean-up, which waits
	w.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
		server.CloseClientConnections()
		server.Close()
	})
}

// behave has the bank treat every payment so from now on.
func (b *bank) behave(how sandbox.Behaviour) {
	b.w.t.Helper()
	b.w.must(b.client.Behave(b.w.t.Context(), "", how))
}

// payer is what the bank's page tells who pays.
type payer struct {
	// Outcome is "paid", "closed", "expired", or the error that kept the page from answering.
	Outcome string `json:"outcome"`
	EventID string `json:"event_id"`
}

// pay has somebody pay at the bank's page. The bank answers when it has sent its notice once.
func (b *bank) pay(address string) (p payer) {
	err := func() error {
		request, err := http.NewRequest(http.MethodPost, address, strings.NewReader(url.Values{}.Encode()))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Accept", "application/json")
		reply, err := once.Do(request)
		if err != nil {
			return err
		}
		defer reply.Body.Close()
		return json.NewDecoder(reply.Body).Decode(&p)
	}()
	if err != nil {
		p.Outcome = err.Error()
	}
	return p
}

// paying is pay in the background.
func (b *bank) paying(address string) <-chan payer {
	done := make(chan payer, 1)
	go func() { done <- b.pay(address) }() // ends with the answer, at the latest with once's time
	return done
}

// account is what the bank knows of a payment.
type account struct {
	State   string
	Refunds []struct{ Amount int64 }
	// Notices is how many are still to be sent.
	Notices int
}

// back is how much the bank has given back.
func (a account) back() (sum int64) {
	for _, r := range a.Refunds {
		sum += r.Amount
	}
	return sum
}

// account asks the bank about a payment.
func (b *bank) account(paymentID string) (a account) {
	b.w.t.Helper()
	body := fmt.Appendf(nil, `{"type":"payment.query","payment_id":%q}`, paymentID)
	status, answer := b.w.post(b.url+"/sandbox/payments/query", "q-"+store.NewID("q"), body)
	b.w.equal("status of the bank's answer", status, http.StatusOK)
	b.w.must(json.Unmarshal(answer, &a))
	return a
}

// once makes each request over a connection of its own: a connection that a fault broke says nothing
// about the next request.
var once = &http.Client{Timeout: replyPatience, Transport: &http.Transport{DisableKeepAlives: true}}

// post sends a body that is signed as the bank signs. The status is 0 where no answer came.
func (w *world) post(address, id string, body []byte) (status int, answer []byte) {
	request, err := http.NewRequest(http.MethodPost, address, bytes.NewReader(body))
	if err == nil {
		err = cart.Sign(bankSecret, request.Header, id, time.Now(), body)
	}
	if err != nil {
		w.t.Error(err)
		return 0, nil
	}
	request.Header.Set("Content-Type", "application/json")
	reply, err := once.Do(request)
	if err != nil {
		return 0, nil
	}
	defer reply.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(reply.Body); err != nil {
		return 0, nil
	}
	return reply.StatusCode, text.Bytes()
}

// success is the notice that a payment was paid as it was asked for.
func success(p *proto.Payment, event string) cart.Notice {
	return cart.Notice{
		EventID: event, TransactionID: "txn-" + event, PaymentID: p.PaymentId, Kind: cart.PaymentSucceeded,
		Amount: p.Amount, Currency: p.Currency, PaidAt: time.Now(),
	}
}

// notify sends a gateway a notice that is signed as the bank's are, of which the bank knows nothing, and
// returns the status of the answer, 0 for none.
func (w *world) notify(g *process, n cart.Notice) int {
	body, err := n.Body()
	if err != nil {
		w.t.Error(err)
		return 0
	}
	status, _ := w.post("http://"+g.front.near()+noticePath, n.EventID, body)
	return status
}

// notifying is notify in the background.
func (w *world) notifying(g *process, n cart.Notice) <-chan int {
	status := make(chan int, 1)
	go func() { status <- w.notify(g, n) }() // ends with the answer, at the latest with once's time
	return status
}
