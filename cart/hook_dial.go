package cart

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

const (
	// hookTimeout bounds one sending from dialling to the end of the answer.
	hookTimeout = 10 * time.Second
	// maxHookAnswer is how much of an answer is read, in bytes.
	maxHookAnswer = 64 << 10
)

// unrouted are the blocks that netip counts as global and that are not the open Internet, or that carry
// an address of another kind inside (IANA's special-purpose registries).
var unrouted = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("3fff::/20"),
	netip.MustParsePrefix("5f00::/16"),
}

// publicAddress reports whether an address is one of the open Internet, so that a shop cannot have us
// call what stands beside us.
func publicAddress(ip netip.Addr) bool {
	ip = ip.WithZone("").Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	for _, block := range unrouted {
		if block.Contains(ip) {
			return false
		}
	}
	return true
}

// newHookClient returns the client that sends to webhooks. It follows no redirect and uses no proxy, and
// unless private addresses are allowed it checks each address after the name was looked up, right
// before the connection, so that no answer of a name server gets around it.
func newHookClient(allowPrivate bool) *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	if !allowPrivate {
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			if !publicAddress(to.Addr()) {
				return fmt.Errorf("%s is a private address", to.Addr())
			}
			return nil
		}
	}
	return &http.Client{
		Timeout: hookTimeout,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, DisableCompression: true,
			TLSHandshakeTimeout: 5 * time.Second, MaxIdleConnsPerHost: hookSendings, IdleConnTimeout: time.Minute,
			MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
