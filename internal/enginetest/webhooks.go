package enginetest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

// Webhooks are what Facebook, or the application for it, posts to the engine.
type Webhooks struct{ e *Engine }

// SignedRequest returns a signed request as Facebook makes them.
func SignedRequest(secret string, payload any) string {
	b, _ := json.Marshal(payload)
	encoded := base64.RawURLEncoding.EncodeToString(b)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(encoded))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)) + "." + encoded
}

// Delivery returns what the application relays of a webhook's delivery.
func Delivery(secret string, body any) map[string]any {
	b, ok := body.([]byte)
	if !ok {
		b, _ = json.Marshal(body)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(b)
	return map[string]any{"payload": base64.StdEncoding.EncodeToString(b), "signature": "sha256=" + hex.EncodeToString(mac.Sum(nil))}
}

// Request is the payload of a signed request about a person.
func (w *Webhooks) Request(person string, at time.Time) map[string]any {
	return map[string]any{"user_id": w.e.Facebook.ScopedID(AppID, person), "algorithm": "HMAC-SHA256", "issued_at": at.Unix()}
}

// Post posts to a public path without a token, and returns the status and the
// body that Vault answers with.
func (w *Webhooks) Post(path, signedRequest string) (status int, body string) {
	w.e.T.Helper()
	return w.Public(logical.UpdateOperation, path, map[string]any{"signed_request": signedRequest})
}

// MustPost is Post for a request that is accepted.
func (w *Webhooks) MustPost(path, signedRequest string) (body string) {
	w.e.T.Helper()
	status, body := w.Post(path, signedRequest)
	if status != http.StatusOK {
		w.e.T.Fatalf("%s answers %d %s", path, status, body)
	}
	return body
}

// TryPost is Post, with an error for a request that is not accepted.
func (w *Webhooks) TryPost(path, signedRequest string) error {
	if status, body := w.Post(path, signedRequest); status != http.StatusOK {
		return fmt.Errorf("%d %s", status, body)
	}
	return nil
}

// Public is Post for any request.
func (w *Webhooks) Public(op logical.Operation, path string, data map[string]any) (status int, body string) {
	w.e.T.Helper()
	resp, err := w.e.HandleRequest(context.Background(), &logical.Request{Operation: op, Path: path, Data: data, Storage: w.e.Storage, Unauthenticated: true})
	if err != nil {
		var coded logical.HTTPCodedError
		if !errors.As(err, &coded) {
			return http.StatusInternalServerError, err.Error()
		}
		return coded.Code(), err.Error()
	}
	raw, _ := resp.Data[logical.HTTPRawBody].([]byte)
	return resp.Data[logical.HTTPStatusCode].(int), string(raw)
}

// Permissions is a delivery of the object permissions about one person.
func (w *Webhooks) Permissions(person string, at time.Time, changes ...map[string]any) map[string]any {
	id := w.e.Facebook.ScopedID(AppID, person)
	return map[string]any{"object": "permissions", "entry": []any{map[string]any{"id": id, "uid": id, "time": at.Unix(), "changes": changes}}}
}

// Notify relays a delivery and returns how many credentials were marked.
func (w *Webhooks) Notify(body any) (marked int) {
	w.e.T.Helper()
	return w.e.Must(logical.UpdateOperation, NotifyPath, Delivery(AppSecret, body))["marked"].(int)
}

// RequestDeletion asks for a person's deletion and returns its confirmation code.
func (w *Webhooks) RequestDeletion(signedRequest string) (code string) {
	w.e.T.Helper()
	var answer map[string]string
	if err := json.Unmarshal([]byte(w.MustPost(DataDeletionPath, signedRequest)), &answer); err != nil {
		w.e.T.Fatal(err)
	}
	return answer["confirmation_code"]
}

// DeletionStatus reads how far a deletion is.
func (w *Webhooks) DeletionStatus(code string) (status int, body string) {
	w.e.T.Helper()
	return w.Public(logical.ReadOperation, DataDeletionPath, map[string]any{"confirmation_code": code})
}
