package authpipetest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func TestTransportAnswersAsServer(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	client := &http.Client{Transport: w.Transport()}
	ask := func(client *http.Client, base string) string {
		t.Helper()
		resp, err := client.Get(base + "/v26.0/debug_token?input_token=x&access_token=" + appToken)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.Status + string(body)
	}
	if wire, memory := ask(http.DefaultClient, w.base), ask(client, "https://graph.example.com"); wire != memory || !strings.HasPrefix(wire, "200 OK{") {
		t.Errorf("the server answers %s, the transport %s", wire, memory)
	}
	if n := w.Count(authpipetest.EndpointDebugToken); n != 2 {
		t.Errorf("counted %d", n)
	}
}

func TestTransportReturnsConnectionErrors(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	client := &http.Client{Transport: w.Transport()}
	get := func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://graph.example.com/v26.0/me", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
		return err
	}
	for _, row := range []struct {
		name  string
		fault authpipetest.Fault
		want  error
	}{
		{"a reset", authpipetest.Fault{Reset: true}, syscall.ECONNRESET},
		{"half an answer", authpipetest.Fault{Truncate: true}, io.ErrUnexpectedEOF},
	} {
		mend := w.Fail(row.fault)
		if err := get(t.Context()); !errors.Is(err, row.want) {
			t.Errorf("%s: error %v, want %v", row.name, err, row.want)
		}
		mend()
	}
	defer w.Fail(authpipetest.Fault{Hang: true})()
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() { left <- get(ctx) }()
	if err := w.AwaitCount(t.Context(), authpipetest.EndpointMe, 3); err != nil {
		t.Fatal(err)
	}
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("a held request that is cancelled returns %v", err)
	}
}
