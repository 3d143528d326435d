package gateway

import (
	"net/http"
	"strings"
)

// Browsers can't set headers on a WebSocket, so a token may also come as an
// offered subprotocol with one of these prefixes, or in the query.
var tokenPrefixes = []string{"token.", "yauth-"}

// tokenOf is the bearer token of a request, empty for none. The header comes
// before the subprotocol and that before the query, which proxies log.
func tokenOf(r *http.Request) string {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return token
	}
	for _, offer := range subprotocols(r) {
		if token, ok := tokenOffer(offer); ok {
			return token
		}
	}
	query := r.URL.Query()
	if token := query.Get("token"); token != "" {
		return token
	}
	return query.Get("yauth")
}

func tokenOffer(offer string) (string, bool) {
	for _, prefix := range tokenPrefixes {
		if token, ok := strings.CutPrefix(offer, prefix); ok {
			return token, true
		}
	}
	return "", false
}

// subprotocols are those that the client offers, in order.
func subprotocols(r *http.Request) []string {
	var offers []string
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for offer := range strings.SplitSeq(line, ",") {
			if offer = strings.TrimSpace(offer); offer != "" {
				offers = append(offers, offer)
			}
		}
	}
	return offers
}

// chosenSubprotocol is the first that is no token, or else the token: one of
// what is offered must be chosen, or browsers fail the connection.
func chosenSubprotocol(r *http.Request) []string {
	offers := subprotocols(r)
	for i, offer := range offers {
		if _, token := tokenOffer(offer); !token {
			return offers[i : i+1]
		}
	}
	return offers[:min(1, len(offers))]
}
