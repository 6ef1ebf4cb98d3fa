package authpipe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/vault/api"
)

// responseLimit is how much of a response's body is read: more than any has.
const responseLimit = 16 << 20

// A mount sends requests to the engine through Vault.
type mount struct {
	vault   *api.Client
	path    string
	timeout time.Duration        // of one request
	wall    func() time.Time     // for a response without a Date
	now     func() time.Duration // the client's clock

	ctx      context.Context // ends with Client.Close
	shutdown context.CancelFunc

	token tokenState
}

// An envelope is what Vault puts around the data of a response.
type envelope[T any] struct {
	Data     T               `json:"data"`
	Warnings []string        `json:"warnings"`
	WrapInfo json.RawMessage `json:"wrap_info"`

	at time.Time // the response's Date; zero: it has none
}

// read reads the credential r.
func (m *mount) read(r ref) (reply, error) {
	op := "reading creds/" + r.String()
	sent := m.wall()
	got, err := get[credentialData](m.ctx, m, op, "creds/"+r.String(), nil)
	if err != nil {
		return reply{}, typed(r, m.markDeadToken(err))
	}
	credential, err := got.Data.credential(r, got.Warnings)
	if err != nil {
		return reply{}, &Error{Op: op, Code: ErrUnavailable, Status: http.StatusOK, Message: err.Error()}
	}
	if got.at.IsZero() {
		got.at = sent // a proxy has removed the Date
	}
	answered := reply{credential: credential, ttl: time.Duration(got.Data.TTL) * time.Second, left: lifeLeft(credential.ExpiresAt, got.at)}
	if answered.left <= 0 {
		return reply{}, &Error{Op: op, Code: ErrUnavailable, Status: http.StatusOK, Message: "the token has expired"}
	}
	return answered, nil
}

// check has the engine ask the provider whether r works.
func (m *mount) check(r ref) error {
	path := "connections/" + r.String() + "/check"
	_, err := put[struct{}](m.ctx, m, "writing "+path, path, nil)
	return typed(r, m.markDeadToken(err))
}

// get reads a path below the mount.
func get[T any](ctx context.Context, m *mount, op, path string, query url.Values) (envelope[T], error) {
	if m.ctx.Err() != nil {
		return envelope[T]{}, ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	resp, err := m.vault.Logical().ReadRawWithDataWithContext(ctx, m.path+"/"+path, query)
	return open[T](ctx, m, op, resp, err)
}

// put writes to a path below the mount.
func put[T any](ctx context.Context, m *mount, op, path string, body map[string]any) (envelope[T], error) {
	if m.ctx.Err() != nil {
		return envelope[T]{}, ErrClosed
	}
	if body == nil {
		body = map[string]any{}
	}
	b, err := json.Marshal(body)
	if err != nil {
		return envelope[T]{}, fmt.Errorf("%s: %w", op, err)
	}
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	resp, err := m.vault.Logical().WriteRawWithContext(ctx, m.path+"/"+path, b)
	return open[T](ctx, m, op, resp, err)
}

// remove deletes a path below the mount.
func (m *mount) remove(ctx context.Context, path string) error {
	if m.ctx.Err() != nil {
		return ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	if _, err := m.vault.Logical().DeleteWithContext(ctx, m.path+"/"+path); err != nil {
		return failure("deleting "+path, err)
	}
	return nil
}

// open decodes what Vault's client returned.
func open[T any](ctx context.Context, m *mount, op string, resp *api.Response, err error) (got envelope[T], _ error) {
	if resp != nil {
		defer resp.Body.Close()
	}
	switch {
	case err != nil && m.ctx.Err() != nil:
		return got, ErrClosed
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		return got, ctx.Err()
	case err != nil:
		return got, failure(op, err)
	}
	got.at, _ = http.ParseTime(resp.Header.Get("Date"))
	err = json.NewDecoder(io.LimitReader(resp.Body, responseLimit)).Decode(&got)
	switch {
	case errors.Is(err, io.EOF): // a response without a body: 204
	case err != nil:
		_, kept := describe(err)
		return envelope[T]{}, &Error{Op: op, Code: ErrUnavailable, Status: resp.StatusCode, Message: "the response cannot be read", Err: kept}
	case len(got.WrapInfo) > 0 && string(got.WrapInfo) != "null":
		return got, &Error{Op: op, Status: resp.StatusCode, Message: "the response is wrapped; unset VAULT_WRAP_TTL, or the client's wrapping function"}
	}
	return got, nil
}
