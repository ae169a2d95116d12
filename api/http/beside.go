package httpapi

import (
	"net/http"
	"net/netip"
)

// forwarding are the headers by which a proxy says that the client is another
// one.
var forwarding = [...]string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"}

// beside tells whether the client runs on this machine. Compressing for it costs
// both sides more than it saves: half of what a long answer takes. Proxies on this
// machine have clients elsewhere: they name them in a header or, as nginx does
// where nothing else is configured, speak HTTP 1.0.
func beside(r *http.Request) bool {
	if !r.ProtoAtLeast(1, 1) {
		return false
	}
	for _, name := range forwarding {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && at.Addr().Unmap().IsLoopback()
}

// compressing serves those with compressed who are elsewhere.
func compressing(compressed, plain http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if beside(r) {
			plain.ServeHTTP(w, r)
			return
		}
		compressed.ServeHTTP(w, r)
	})
}
