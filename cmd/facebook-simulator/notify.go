package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// notifier delivers notifications to the app. It subscribes the app's webhook as soon as the webhook answers.
type notifier struct {
	fb          *authpipetest.Facebook
	app         string
	webhook     string // empty: none
	verifyToken string
	stderr      io.Writer
	subscribed  bool
	reported    string // the last error, so that a repeated one is printed once
}

// notifyEvery is the interval between two deliveries, and so between attempts.
const notifyEvery = 2 * time.Second

func (n *notifier) run(ctx context.Context) {
	ticks := time.NewTicker(notifyEvery)
	defer ticks.Stop()
	for {
		n.notify(ctx)
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
	}
}

// notify subscribes if that is still to do, and delivers once.
func (n *notifier) notify(ctx context.Context) {
	var failed error
	if n.webhook != "" && !n.subscribed {
		failed = n.subscribe(ctx)
		n.subscribed = failed == nil
	}
	for _, d := range n.fb.Deliver(ctx) {
		if d.Err != nil {
			failed = d.Err
		}
	}
	n.report(ctx, failed)
}

func (n *notifier) subscribe(ctx context.Context) error {
	for _, object := range []string{"permissions", "application"} {
		s := authpipetest.Subscription{Object: object, CallbackURL: n.webhook, VerifyToken: n.verifyToken}
		if err := n.fb.Subscribe(ctx, n.app, s); err != nil {
			return err
		}
	}
	return nil
}

// report prints an error that differs from the last one.
func (n *notifier) report(ctx context.Context, failed error) {
	text := ""
	if failed != nil {
		text = failed.Error()
	}
	if text != n.reported && text != "" && ctx.Err() == nil {
		fmt.Fprintln(n.stderr, "facebook-simulator:", text)
	}
	n.reported = text
}
