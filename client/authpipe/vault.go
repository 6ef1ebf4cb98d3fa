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

// answerLimit is how much of an answer is read: more than any has.
const answerLimit = 16 << 20

// An envelope is what Vault puts around the data of an answer.
type envelope[T any] struct {
	Data     T               `json:"data"`
	Warnings []string        `json:"warnings"`
	WrapInfo json.RawMessage `json:"wrap_info"`

	at time.Time // when it was answered, by Vault's clock; zero: it did not say
}

// read asks for the credential r.
func (c *Client) read(ctx context.Context, r ref) (reply, error) {
	op := "reading creds/" + r.String()
	asked := c.wall()
	got, err := get[credentialData](ctx, c, op, "creds/"+r.String(), nil)
	if err != nil {
		return reply{}, typed(r, c.markDeadToken(ctx, err))
	}
	credential, err := got.Data.credential(r, got.Warnings)
	if err != nil {
		return reply{}, &Error{Op: op, Code: ErrUnavailable, Status: http.StatusOK, Message: err.Error()}
	}
	if got.at.IsZero() {
		got.at = asked // a proxy took the date away: go by the own clock
	}
	answered := reply{credential: credential, ttl: time.Duration(got.Data.TTL) * time.Second, left: lifeLeft(credential.ExpiresAt, got.at)}
	if answered.left <= 0 {
		return reply{}, &Error{Op: op, Code: ErrUnavailable, Status: http.StatusOK, Message: "the token has expired"}
	}
	return answered, nil
}

// check has the engine ask the provider about r.
func (c *Client) check(ctx context.Context, r ref) error {
	path := "connections/" + r.String() + "/check"
	_, err := put[struct{}](ctx, c, "writing "+path, path, nil)
	return typed(r, c.markDeadToken(ctx, err))
}

// get reads a path below the mount.
func get[T any](ctx context.Context, c *Client, op, path string, query url.Values) (envelope[T], error) {
	if c.life.Err() != nil {
		return envelope[T]{}, ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	resp, err := c.vault.Logical().ReadRawWithDataWithContext(ctx, c.options.Mount+"/"+path, query)
	return open[T](ctx, c, op, resp, err)
}

// put writes to a path below the mount.
func put[T any](ctx context.Context, c *Client, op, path string, body map[string]any) (envelope[T], error) {
	if c.life.Err() != nil {
		return envelope[T]{}, ErrClosed
	}
	if body == nil {
		body = map[string]any{}
	}
	b, err := json.Marshal(body)
	if err != nil {
		return envelope[T]{}, fmt.Errorf("%s: %w", op, err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	resp, err := c.vault.Logical().WriteRawWithContext(ctx, c.options.Mount+"/"+path, b)
	return open[T](ctx, c, op, resp, err)
}

// open takes an answer out of what Vault's client returned.
func open[T any](ctx context.Context, c *Client, op string, resp *api.Response, err error) (got envelope[T], _ error) {
	if resp != nil {
		defer resp.Body.Close()
	}
	switch {
	case err != nil && c.life.Err() != nil:
		return got, ErrClosed
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		return got, ctx.Err()
	case err != nil:
		return got, failure(op, err)
	}
	got.at, _ = http.ParseTime(resp.Header.Get("Date"))
	err = json.NewDecoder(io.LimitReader(resp.Body, answerLimit)).Decode(&got)
	switch {
	case errors.Is(err, io.EOF): // an answer without a body: 204
	case err != nil:
		_, kept := describe(err)
		return envelope[T]{}, &Error{Op: op, Code: ErrUnavailable, Status: resp.StatusCode, Message: "the answer cannot be read", Err: kept}
	case len(got.WrapInfo) > 0 && string(got.WrapInfo) != "null":
		return got, &Error{Op: op, Status: resp.StatusCode, Message: "the answer is wrapped; unset VAULT_WRAP_TTL, or the client's wrapping function"}
	}
	return got, nil
}
