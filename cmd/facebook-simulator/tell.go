package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// teller tells the app what happens: it subscribes the app's webhook, as soon as that answers, and delivers.
type teller struct {
	fb          *authpipetest.Facebook
	app         string
	webhook     string // empty: none
	verifyToken string
	stderr      io.Writer
	subscribed  bool
	trouble     string // the last that was reported, so that it is reported once
}

// tellEvery is how often there is a look at what is to be told, and how soon something is told again that went wrong.
const tellEvery = 2 * time.Second

func (t *teller) run(ctx context.Context) {
	ticks := time.NewTicker(tellEvery)
	defer ticks.Stop()
	for {
		t.tell(ctx)
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
	}
}

// tell does one round.
func (t *teller) tell(ctx context.Context) {
	var trouble error
	if t.webhook != "" && !t.subscribed {
		trouble = t.subscribe(ctx)
		t.subscribed = trouble == nil
	}
	for _, d := range t.fb.Deliver(ctx) {
		if d.Err != nil {
			trouble = d.Err
		}
	}
	t.report(ctx, trouble)
}

func (t *teller) subscribe(ctx context.Context) error {
	for _, object := range []string{"permissions", "application"} {
		s := authpipetest.Subscription{Object: object, CallbackURL: t.webhook, VerifyToken: t.verifyToken}
		if err := t.fb.Subscribe(ctx, t.app, s); err != nil {
			return err
		}
	}
	return nil
}

func (t *teller) report(ctx context.Context, trouble error) {
	text := ""
	if trouble != nil {
		text = trouble.Error()
	}
	if text != t.trouble && text != "" && ctx.Err() == nil {
		fmt.Fprintln(t.stderr, "facebook-simulator:", text)
	}
	t.trouble = text
}
