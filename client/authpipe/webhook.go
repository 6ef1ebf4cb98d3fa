package authpipe

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
)

// A WebhookHandler receives a provider's webhooks and relays their raw bytes to the engine, which alone has the secret that verifies
// their signature. (Vault passes no raw request body to a plugin.) The Vault token of its Client needs only
//
//	path "authpipe/webhooks/facebook/notify" { capabilities = ["update"] }
//
// so it is best to give it a Client of its own. A delivery that the engine has verified gets 200. Facebook repeats any other for a
// day and a half.
type WebhookHandler struct {
	Client   *Client // required
	Provider string  // zero: DefaultProvider

	// VerifyToken is the verify token that was entered in Facebook's dashboard. Zero: no subscription is confirmed.
	VerifyToken Secret

	// Verified, if set, is called with the body of each delivery that the engine has verified, for the application's own use. If
	// it returns an error, Facebook sends the delivery again. Deliveries may come twice, and in any order.
	Verified func(ctx context.Context, body []byte) error

	// MaxBytes bounds the body of a delivery. A longer one gets 413 and is not written to Vault. The handler cannot verify a signature,
	// so every client on the Internet can make it write that much. Zero or less: 256 KiB. At most 768 KiB, which in base64 is the
	// megabyte that Vault allows a string.
	MaxBytes int64

	// Parallel bounds how many deliveries are written to Vault at a time. Further ones get 503, and Facebook sends them again. Zero or
	// less: 16.
	Parallel int

	relaying atomic.Int64
}

const (
	deliverySize  = 256 << 10
	deliveryLimit = 768 << 10
	deliveries    = 16
)

// ServeHTTP implements [http.Handler].
func (h *WebhookHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch r.Method {
	case http.MethodGet:
		h.confirm(w, r)
	case http.MethodPost:
		status := h.relay(w, r)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
	default:
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
	}
}

// confirm responds to the handshake of a subscription ("Webhooks, Getting Started").
func (h *WebhookHandler) confirm(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	known := !h.VerifyToken.IsZero() && NewSecret(query.Get("hub.verify_token")).Equal(h.VerifyToken)
	if query.Get("hub.mode") != "subscribe" || !known {
		http.Error(w, http.StatusText(http.StatusForbidden), http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8") // the caller chooses the challenge
	_, _ = io.WriteString(w, query.Get("hub.challenge"))
}

// relay relays a delivery and returns the status to respond with.
func (h *WebhookHandler) relay(w http.ResponseWriter, r *http.Request) int {
	signature := r.Header.Get("X-Hub-Signature-256")
	if !wellFormed(signature) {
		return http.StatusBadRequest // no delivery at all, so it does not reach Vault
	}
	size := int64(deliverySize)
	if h.MaxBytes > 0 {
		size = min(h.MaxBytes, deliveryLimit)
	}
	if r.ContentLength > size {
		return http.StatusRequestEntityTooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, size))
	if err != nil {
		var long *http.MaxBytesError
		if errors.As(err, &long) {
			return http.StatusRequestEntityTooLarge
		}
		return http.StatusBadRequest
	}
	if err := h.notify(r.Context(), body, signature); err != nil {
		if errors.Is(err, ErrInvalidRequest) {
			return http.StatusBadRequest
		}
		return http.StatusServiceUnavailable
	}
	if h.Verified != nil {
		if err := h.Verified(r.Context(), body); err != nil {
			return http.StatusInternalServerError
		}
	}
	return http.StatusOK
}

// errBusy is returned for a delivery beyond Parallel.
var errBusy = errors.New("too many deliveries at a time")

// notify relays a delivery, unless too many are being relayed. A sender that is slow to send its body does not count among them.
func (h *WebhookHandler) notify(ctx context.Context, body []byte, signature string) error {
	most := int64(deliveries)
	if h.Parallel > 0 {
		most = int64(h.Parallel)
	}
	defer h.relaying.Add(-1)
	if h.relaying.Add(1) > most {
		return errBusy
	}
	_, err := h.Client.Notify(ctx, cmp.Or(h.Provider, DefaultProvider), body, signature)
	return err
}

func wellFormed(signature string) bool {
	sum, ok := strings.CutPrefix(signature, "sha256=")
	b, err := hex.DecodeString(sum)
	return ok && err == nil && len(b) == 32
}

// Notify relays a webhook's delivery to the engine: the body as it came, and its X-Hub-Signature-256. It returns how many credentials
// the engine has marked. A delivery whose signature does not verify is ErrInvalidRequest.
func (c *Client) Notify(ctx context.Context, provider string, body []byte, signature string) (marked int, err error) {
	if err := checkName("provider", provider, 32, "_-"); err != nil {
		return 0, err
	}
	path := "webhooks/" + provider + "/notify"
	got, err := put[struct {
		Marked int `json:"marked"`
	}](ctx, c.mount, "writing "+path, path, map[string]any{"payload": base64.StdEncoding.EncodeToString(body), "signature": signature})
	return got.Data.Marked, err
}
