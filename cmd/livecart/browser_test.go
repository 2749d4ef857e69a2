package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"livecart/session"
)

// studio is a room that people watch in browsers: the host on one gateway, viewers on the other.
type studio struct {
	info    *readyInfo
	browser context.Context
}

// host opens the console.
func (s *studio) host(t *testing.T) *page {
	t.Helper()
	p := openPage(t, s.browser, "host", laptop, s.info.HostURL)
	p.see(id("host-phase"), "Live")
	return p
}

// viewer opens the viewer's page, of a person without a sign-in for no claims, over a wire if there is one.
func (s *studio) viewer(t *testing.T, who *session.Claims, gateway string) *page {
	t.Helper()
	if gateway == "" {
		gateway = s.info.Gateways[1].URL
	}
	name, address := "somebody", gateway+"/rooms/"+s.info.Room
	if who != nil {
		name = who.Name
		address += "#access_token=" + mint(t, s.info, *who)
	}
	p := openPage(t, s.browser, name, phone, address)
	p.see(state("room-phase", "phase", "ROOM_PHASE_LIVE"), "Live")
	return p
}

// say posts a comment over HTTP.
func (s *studio) say(t *testing.T, who session.Claims, text string) {
	t.Helper()
	status, body := call(t, "POST", s.info.Gateways[0].URL+"/v1/rooms/"+s.info.Room+"/comments", mint(t, s.info, who), map[string]string{"text": text})
	if status != http.StatusCreated {
		t.Fatalf("comment: %d %s", status, body)
	}
}

// TestPages has people use the pages in a browser, in one room that goes on from part to part and
// ends with the last.
func TestPages(t *testing.T) {
	s := &studio{browser: startBrowser(t)}
	s.info = startDev(t)
	for _, part := range []struct {
		name string
		run  func(*studio, *testing.T)
	}{
		{"problems are seen", (*studio).problems},
		{"comments", (*studio).comments},
		{"gifts", (*studio).gifts},
		{"top-up", (*studio).topUp},
		{"a gift to agree to", (*studio).bigGift},
		{"product on show", (*studio).push},
		{"flash sale", (*studio).flashSale},
		{"order from the shelf", (*studio).shelfOrder},
		{"orders at work", (*studio).ordersAtWork},
		{"lost connection", (*studio).reconnect},
		{"languages", (*studio).languages},
		{"without a sign-in", (*studio).anonymous},
		{"pause and end", (*studio).phases},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(s, t) })
	}
}

// problems checks what the other parts rely on: that nothing goes wrong in a page unnoticed.
func (s *studio) problems(t *testing.T) {
	p := s.viewer(t, nil, "")
	for _, c := range []struct{ what, script, want string }{
		{"an inline script", `() => { const s = document.createElement('script'); s.textContent = '1'; document.body.append(s); }`, "Content Security Policy"},
		{"an inline style", `() => document.body.setAttribute('style', 'color: red')`, "Content Security Policy"},
		{"an exception", `() => { setTimeout(() => { throw new Error('thrown'); }); }`, "Error: thrown"},
		{"a rejection", `() => { Promise.reject(new Error('rejected')); }`, "Error: rejected"},
		{"an error said", `() => console.error('said')`, "said"},
		{"a missing file", `() => { fetch('/static/none.js'); }`, "404"},
	} {
		eval[*struct{}](p, c.script)
		var problems []string
		p.until("notice "+c.what, func() string {
			problems = append(problems, p.takeProblems()...)
			if strings.Contains(strings.Join(problems, "\n"), c.want) {
				return ""
			}
			return "no such problem among " + strings.Join(problems, "; ")
		})
	}
}

func (s *studio) comments(t *testing.T) {
	host, viewer := s.host(t), s.viewer(t, &demoViewers[0], "")
	s.say(t, demoViewers[1], "Is the teapot safe in a dishwasher?")
	s.say(t, demoViewers[2], "刚到，好漂亮的茶壶！")

	viewer.fill(id("comment-input"), "Does the <b>lid</b> close tightly? 🫖")
	viewer.click(id("comment-send"))
	viewer.see(id("comment"), "Does the <b>lid</b> close tightly? 🫖")
	host.see(id("host-comment"), "Does the <b>lid</b> close tightly? 🫖")
	viewer.see(id("comment"), "刚到")

	host.fill(id("host-comment-input"), "It does, look!")
	host.click(id("host-comment-send"))
	viewer.see(id("comment"), "It does, look!")

	act := func(text, control string) {
		t.Helper()
		host.click(state("host-comment", "id", host.data(id("host-comment"), text, "id")) + " " + id(control))
	}
	act("It does, look!", "host-comment-pin")
	host.see(id("host-pinned"), "It does, look!")
	viewer.see(".pinned", "It does, look!")
	host.shot("host comments")
	viewer.shot("viewer comments")
	host.click(id("host-unpin"))
	viewer.miss(".pinned", "It does, look!")

	act("dishwasher", "host-comment-delete")
	viewer.miss(id("comment"), "dishwasher")
	host.miss(id("host-comment"), "dishwasher")
	viewer.see(id("comment"), "It does, look!")

	act("<b>lid</b>", "host-comment-mute")
	host.hear("Ann is muted")
	viewer.see(id("comment-input")+`:disabled[placeholder="You are muted."]`, "")

	viewer.click(id("like"))
	viewer.click(id("like"))
	host.see(id("host-figure-likes"), "2")
	viewer.see(id("likes"), "2")
}

func (s *studio) gifts(t *testing.T) {
	host, viewer, other := s.host(t), s.viewer(t, &demoViewers[0], ""), s.viewer(t, &demoViewers[1], "")
	viewer.click(id("gift-open"))
	viewer.see(id("balance"), "10,000")
	viewer.click(id("gift-balloon"))
	viewer.click(id("gift-count-10"))
	viewer.see(id("gift-send"), "660")
	viewer.shot("viewer gifts")
	viewer.click(id("gift-send"))
	viewer.see(id("gift-banner"), "×10")
	viewer.click(id("combo"))
	viewer.see(id("gift-banner"), "×20")
	viewer.click(id("combo"))
	viewer.see(id("gift-banner"), "×30")
	other.see(id("gift-banner"), "Balloon")
	other.see(id("gift-banner"), "×30")
	viewer.shot("viewer combo")
	if n := other.count(id("gift-banner"), ""); n != 1 {
		t.Errorf("%d banners for one combo", n)
	}

	host.see(id("host-figure-tips"), "1,980")
	host.see(".figure.tips", "Top: Ann")
	viewer.click(id("gift-open"))
	viewer.see(id("balance"), "8,020")

	viewer.click(id("gift-rocket"))
	viewer.click(id("gift-count-10"))
	viewer.click(id("gift-send"))
	viewer.hear("You do not have enough beans.")
	viewer.see(id("sheet-topup"), "Top up")
}

// bigGift sends what must be agreed to first.
func (s *studio) bigGift(t *testing.T) {
	viewer := s.viewer(t, &demoViewers[2], "")
	viewer.click(id("gift-open"))
	viewer.see(id("balance"), "10,700")
	viewer.click(id("topup-open"))
	viewer.click(id("topup-2100"))
	viewer.see(id("topup-link"), "Open payment page")
	payment := viewer.popup("payment", "/sandbox/pay")
	payment.click("button.pay")
	payment.see(".outcome.paid", "")
	payment.close()
	viewer.see(id("balance"), "12,800")
	viewer.click(id("sheet-close")) // the gifts are behind it
	viewer.click(id("gift-balloon"))
	viewer.click(id("gift-count-188"))
	viewer.see(id("gift-send"), "Send · 12,408")
	viewer.click(id("gift-send"))
	viewer.see(id("gift-ask"), "Balloon ×188 costs 12,408 beans. Send it?")
	viewer.see(id("gift-send"), "Yes, send · 12,408")
	viewer.shot("viewer big gift")
	viewer.click(id("gift-count-1"))
	viewer.see(id("gift-send"), "Send · 66")
	viewer.click(id("gift-count-188"))
	viewer.click(id("gift-send"))
	viewer.see(id("gift-ask"), "12,408")
	viewer.click(id("gift-send"))
	viewer.see(id("gift-banner"), "×188")
	viewer.click(id("gift-open"))
	viewer.see(id("balance"), "392")
}

func (s *studio) topUp(t *testing.T) {
	viewer := s.viewer(t, &demoViewers[2], "")
	viewer.click(id("gift-open"))
	viewer.see(id("balance"), "10,000")
	viewer.see(id("gift-rose"), "Rose")
	viewer.click(id("topup-open"))
	viewer.click(id("topup-700"))
	viewer.see(id("sheet-topup"), "700 beans for ¥100.00")
	viewer.see(id("topup-link"), "Open payment page")
	viewer.shot("viewer top-up")

	payment := viewer.popup("payment", "/sandbox/pay")
	payment.see(".amount", "100.00")
	payment.click("button.pay")
	payment.see(".outcome.paid", "")
	payment.close()

	viewer.see(id("balance"), "10,700")
	viewer.see(id("sheet-topup"), "Your beans have arrived.")
	viewer.shot("viewer topped up")
}

func (s *studio) push(t *testing.T) {
	host, viewer := s.host(t), s.viewer(t, &demoViewers[1], "")
	host.click(id("host-push-demo-scarf"))
	viewer.see(state("product-card", "product", "demo-scarf"), "桑蚕丝巾")
	viewer.see(id("product-card"), "¥299")
	host.see(id("host-push-demo-scarf")+" "+id("host-on-show"), ":")
	viewer.shot("viewer product")
	viewer.click(id("product-buy"))
	viewer.see(id("sheet-product"), "hand-rolled edges")
}

func (s *studio) flashSale(t *testing.T) {
	host, viewer, other := s.host(t), s.viewer(t, &demoViewers[2], ""), s.viewer(t, nil, "")
	host.choose(id("host-sale-product"), "demo-headphones")
	host.fill(id("host-sale-price"), "399")
	host.fill(id("host-sale-quantity"), "5")
	host.click(id("host-sale-start"))
	host.hear("Give a price below")
	host.fill(id("host-sale-price"), "199.50")
	host.click(id("host-sale-start"))
	host.see(id("host-sale-stock"), "5")

	viewer.see(id("flash-card"), "Wireless headphones")
	viewer.see(id("flash-price"), "¥199.50")
	viewer.see(id("flash-stock"), "5 left")
	viewer.see(id("flash-countdown"), "02:")
	viewer.shot("viewer flash sale")
	before := eval[string](viewer, `selector => document.querySelector(selector).innerText`, id("flash-countdown"))
	viewer.miss(id("flash-countdown"), before)
	other.see(state("flash-buy", "state", "sign_in"), "Sign in to buy")

	viewer.click(id("flash-buy"))
	viewer.see(state("order-state", "state", "ORDER_STATE_AWAITING_PAYMENT"), "Pay within")
	viewer.see(id("order-amount"), "¥199.50")
	for _, p := range []*page{viewer, other} {
		p.see(state("flash-stock", "available", "4"), "4 left")
	}
	host.see(state("host-sale-stock", "available", "4"), "4")
	for field, value := range map[string]string{"name": "Chen 晨", "phone": "13800000000", "street": "Longjing Road 8", "city": "Hangzhou", "postal_code": "310013"} {
		viewer.fill(id("address-"+field), value)
	}
	viewer.shot("viewer order address")
	viewer.click(id("address-save"))
	viewer.see(id("order-address"), "Longjing Road 8, Hangzhou, 310013, CN")
	viewer.shot("viewer order")

	viewer.click(id("order-pay"))
	viewer.see(id("order-pay-link"), "Open payment page")
	payment := viewer.popup("payment", "/sandbox/pay")
	payment.see(".amount", "199.50")
	payment.shot("payment")
	payment.click("button.pay")
	payment.see(".outcome.paid", "")
	payment.shot("payment done")
	payment.close()

	viewer.see(state("order-state", "state", "ORDER_STATE_PAID"), "Paid")
	viewer.shot("viewer order paid")
	host.see(id("host-orders")+" li", "Chen 晨")
	host.see(state("host-order-state", "state", "ORDER_STATE_PAID"), "Paid")
	host.see(id("host-figure-sales"), "¥199.50")
	host.shot("host flash sale")
	viewer.click(id("sheet-close"))
	viewer.see(state("flash-buy", "state", "yours"), "Yours!")

	host.click(id("host-sale-edit"))
	host.fill(id("host-sale-edit-quantity"), "9")
	host.click(id("host-sale-save"))
	other.see(state("flash-stock", "available", "8"), "8 left")
	host.click(id("host-sale-stop"))
	host.see(id("host-sale-stop"), "Sure?")
	host.click(id("host-sale-stop"))
	other.see(id("flash-card"), "Over")
	viewer.see(id("flash-card"), "Over")
	other.shot("viewer flash sale over")
}

func (s *studio) shelfOrder(t *testing.T) {
	viewer := s.viewer(t, &demoViewers[1], "")
	viewer.click(id("shelf-open"))
	viewer.see(id("shelf-demo-lamp"), "Paper desk lamp")
	viewer.shot("viewer shelf")
	viewer.click(id("shelf-buy-demo-tea-tin"))
	viewer.see(id("sheet-product"), "First picking")
	viewer.click("label:has(" + id("listing-demo-tea-tin-2") + ")")
	viewer.click(`.stepper button:last-child`)
	viewer.see(id("order-quantity"), "2")
	viewer.see(id("order-create"), "¥476.00")
	viewer.shot("viewer variants")
	viewer.click(id("order-create"))
	viewer.see(state("order-state", "state", "ORDER_STATE_AWAITING_PAYMENT"), "Awaiting payment")
	viewer.click(id("order-cancel"))
	viewer.see(state("order-state", "state", "ORDER_STATE_CANCELLED"), "Nothing was charged.")
	viewer.click(id("sheet-close"))
	viewer.click(id("orders-open"))
	viewer.see(id("sheet-orders"), "Cancelled")
	viewer.shot("viewer orders")
}

// ordersAtWork has the host lower an unpaid order's price, and ship and refund what Chen bought before.
func (s *studio) ordersAtWork(t *testing.T) {
	host, chen, buyer := s.host(t), s.viewer(t, &demoViewers[2], ""), s.viewer(t, &demoViewers[1], "")
	order := func(text string) string {
		t.Helper()
		return id(host.data(id("host-orders")+" > li", text, "testid")) + " "
	}
	buyer.click(id("shelf-open"))
	buyer.click(id("shelf-buy-demo-lamp"))
	buyer.click(id("order-create"))
	buyer.see(state("order-state", "state", "ORDER_STATE_AWAITING_PAYMENT"), "Awaiting payment")
	unpaid := order("Awaiting payment")
	host.click(unpaid + id("host-order-open"))
	host.click(unpaid + id("host-order-reprice"))
	host.fill(unpaid+id("host-order-amount"), "9999")
	host.click(unpaid + id("host-order-reprice-send"))
	host.hear("Give a price below")
	host.fill(unpaid+id("host-order-amount"), "100")
	host.shot("host reprice")
	host.click(unpaid + id("host-order-reprice-send"))
	host.see(unpaid+id("host-order-discount"), "−¥")
	buyer.see(id("order-amount"), "¥100.00")
	buyer.see(id("order-discount"), "−¥")
	buyer.shot("viewer repriced")

	paid := order("Chen 晨")
	host.click(paid + id("host-order-open"))
	host.click(paid + id("host-order-ship"))
	host.fill(paid+id("host-order-carrier"), "SF Express")
	host.fill(paid+id("host-order-waybill"), "SF1002003004005")
	host.shot("host ship")
	host.click(paid + id("host-order-ship-send"))
	host.see(paid+state("host-order-state", "state", "ORDER_STATE_SHIPPED"), "Shipped")
	host.see(paid+id("host-order-shipment"), "SF1002003004005")

	chen.click(id("orders-open"))
	chen.click(".order-row:has(.ORDER_STATE_SHIPPED)")
	chen.see(id("order-shipments"), "SF Express SF1002003004005")
	chen.shot("viewer shipped")
	chen.click(id("order-receive"))
	chen.see(id("order-receive"), "Everything has arrived?")
	chen.click(id("order-receive"))
	chen.see(state("order-state", "state", "ORDER_STATE_COMPLETED"), "Completed")

	host.see(paid+state("host-order-state", "state", "ORDER_STATE_COMPLETED"), "Completed")
	host.click(paid + id("host-order-refund"))
	host.click(paid + id("host-order-refund-send"))
	host.hear("Say whether the pieces go back to the stock.")
	host.click(paid + id("host-order-restock-no"))
	host.fill(paid+id("host-order-reason"), "left earcup is silent")
	host.shot("host refund")
	host.click(paid + id("host-order-refund-send"))
	host.see(paid+id("host-order-refunded"), "¥199.50")
	chen.see(id("order-refund"), "¥199.50")
	chen.see(state("order-state", "state", "ORDER_STATE_REFUNDED"), "Your money is back.")
	chen.shot("viewer refunded")
	host.see(paid+state("host-order-state", "state", "ORDER_STATE_REFUNDED"), "Refunded")
	host.shot("host refunded")
	buyer.click(id("order-cancel"))
	buyer.see(state("order-state", "state", "ORDER_STATE_CANCELLED"), "")
}

func (s *studio) reconnect(t *testing.T) {
	wire, gateway := wireTo(t, s.info.Gateways[1].URL)
	host, viewer := s.host(t), s.viewer(t, &demoViewers[1], gateway)
	talk := func(text string) {
		t.Helper()
		host.fill(id("host-comment-input"), text)
		host.click(id("host-comment-send"))
		host.see(id("host-comment"), text)
	}
	talk("before the lift")
	viewer.see(id("comment"), "before the lift")
	host.click(id("host-push-demo-scarf"))
	viewer.see(state("product-card", "product", "demo-scarf"), "")

	viewer.forgive("net::ERR_")
	wire.set(true)
	viewer.see(id("connection"), "Reconnecting")
	viewer.shot("viewer reconnecting")
	talk("in the lift")
	host.click(state("host-comment", "id", host.data(id("host-comment"), "in the lift", "id")) + " " + id("host-comment-pin"))
	host.click(id("host-push-demo-lamp"))
	host.see(id("host-push-demo-lamp")+" "+id("host-on-show"), ":")
	wire.set(false)

	viewer.see(".pinned", "in the lift")
	viewer.see(state("product-card", "product", "demo-lamp"), "Paper desk lamp")
	viewer.miss(id("connection"), "Reconnecting")
	viewer.forgive("")
	talk("after the lift")
	viewer.see(id("comment"), "after the lift")
	for _, text := range []string{"before the lift", "after the lift"} {
		if n := viewer.count(id("comment"), text); n != 1 {
			t.Errorf("%q is there %d times", text, n)
		}
	}
	if n := viewer.resumes(); n != 1 {
		t.Errorf("resumed %d times", n)
	}
	host.click(id("host-unpin"))
	viewer.miss(".pinned", "")
}

func (s *studio) languages(t *testing.T) {
	host, viewer := s.host(t), s.viewer(t, &demoViewers[2], "")
	viewer.click(id("language"))
	viewer.see(id("room-phase"), "直播中")
	viewer.click(id("gift-open"))
	viewer.see(id("gift-rose"), "玫瑰")
	viewer.see(id("sheet-gifts"), "礼物")
	viewer.shot("viewer gifts chinese")
	viewer.click(id("sheet-close"))
	if lang := eval[string](viewer, `() => document.documentElement.lang`); lang != "zh-Hans" {
		t.Errorf("the document's language is %q", lang)
	}
	viewer.click(id("language"))
	viewer.see(id("room-phase"), "Live")

	host.click(id("language"))
	host.see(id("host-phase"), "直播中")
	host.shot("host chinese")
}

func (s *studio) anonymous(t *testing.T) {
	viewer := s.viewer(t, nil, "")
	s.say(t, demoViewers[2], "hello everybody")
	viewer.see(id("sign-in-hint"), "Sign in")
	viewer.see(id("comment"), "hello everybody")
	viewer.shot("viewer without a sign-in")
	for _, control := range []string{"comment-input", "gift-open", "orders-open"} {
		if n := viewer.count(id(control), ""); n != 0 {
			t.Errorf("%s is there for somebody who has not signed in", control)
		}
	}
	viewer.click(id("like"))
	viewer.hear("Sign in")
	viewer.click(id("shelf-open"))
	viewer.click(id("shelf-buy-demo-teapot"))
	viewer.see(id("order-create"), "Sign in to buy")
}

func (s *studio) phases(t *testing.T) {
	host, viewer := s.host(t), s.viewer(t, &demoViewers[1], "")
	host.click(id("host-pause"))
	host.see(state("host-phase", "phase", "ROOM_PHASE_PAUSED"), "Paused")
	viewer.see(state("room-phase", "phase", "ROOM_PHASE_PAUSED"), "Paused")
	viewer.see(".veil", "The host is away")
	viewer.shot("viewer paused")
	host.click(id("host-resume"))
	viewer.see(state("room-phase", "phase", "ROOM_PHASE_LIVE"), "Live")
	viewer.miss(".veil", "")

	host.click(id("host-end"))
	host.see(id("host-confirm"), "End for good?")
	host.click(id("host-confirm"))
	host.see(state("host-phase", "phase", "ROOM_PHASE_ENDED"), "Ended")
	viewer.see(".veil", "The live room has ended")
	viewer.miss(id("gift-open"), "")
	viewer.miss(id("comment-input"), "")
	host.miss(id("host-comment-input"), "")
	viewer.shot("viewer ended")
	host.shot("host ended")
	s.statement(t, host)
}

// statement has the host of the ended room read its account.
func (s *studio) statement(t *testing.T, host *page) {
	host.click(id("host-statement"))
	host.see(state("statement-balanced", "balanced", "true"), "Balances")
	host.see(state("statement-final", "final", "true"), "Final")
	host.see(id("statement-paid_sales"), "¥199.50")
	host.see(id("statement-refunds"), "¥199.50")
	host.see(id("statement-net_sales"), "¥0.00")
	host.see(id("statement-tip_beans"), "14,388") // 1,980 and the big gift of 12,408
	host.see(id("statement-host_share"), "7,194")
	host.shot("statement")
	saved := eval[string](host, `async (button) => {
  const real = URL.createObjectURL;
  const blob = new Promise((take) => { URL.createObjectURL = (b) => { take(b); return real.call(URL, b); }; });
  document.querySelector(button).click();
  const text = await (await blob).text();
  URL.createObjectURL = real;
  return text;
}`, id("statement-csv"))
	for _, row := range []string{"scope,shop,host,name,currency,amount\r\n", "room,,,paid_sales,CNY,19950\r\n", "room,,,balance.money_received,CNY,0\r\n"} {
		if !strings.Contains(saved, row) {
			t.Errorf("the CSV has no %q: %s", row, saved)
		}
	}
	host.click(id("language"))
	host.see(id("statement-balanced"), "账目平衡")
	host.shot("statement chinese")
	if folder := os.Getenv(screenshots); folder != "" {
		if err := os.WriteFile(filepath.Join(folder, "statement.csv"), []byte(saved), 0o644); err != nil {
			t.Error(err)
		}
	}
}
