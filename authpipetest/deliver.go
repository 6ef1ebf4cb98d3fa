package authpipetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Delivery is what became of one thing that an app was told.
type Delivery struct {
	Kind   string // one of the Event names
	App    string
	Object string // webhooks only: permissions, application, …
	URL    string
	Header http.Header // as it was sent
	Body   []byte

	Status int    // zero: no answer came
	Answer string // its beginning
	// Err is why Facebook will send it again: no answer, one that is not 200, or one to a data deletion request without a
	// status page and a confirmation code. Nil: delivered.
	Err error
}

// Pending tells how many things the apps have not been told yet.
func (f *Facebook) Pending() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.books.events)
}

// Deliver tells the apps what has happened, in order: deauthorizations, data deletion requests and webhooks, to the URLs
// in [App] and to those that [Facebook.Subscribe] made known. Nothing is told before it is called. What is not answered as
// it should be is kept, and sent again by the next call, as Facebook does for a day and a half.
func (f *Facebook) Deliver(ctx context.Context) []Delivery {
	f.mu.Lock()
	events := f.books.events
	f.books.events = nil
	f.mu.Unlock()
	var deliveries []Delivery
	var failed []event
	for _, e := range events {
		d := f.deliver(ctx, e)
		if d.URL == "" {
			continue // nobody listens any more
		}
		deliveries = append(deliveries, d)
		f.mu.Lock()
		if d.Err != nil {
			failed = append(failed, e)
		} else {
			f.books.delivered = append(f.books.delivered, e)
		}
		f.mu.Unlock()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.books.events = append(failed, f.books.events...)
	return deliveries
}

// Redeliver sends everything once more that was delivered before: Facebook promises that nothing is lost, not that nothing
// comes twice.
func (f *Facebook) Redeliver(ctx context.Context) []Delivery {
	f.mu.Lock()
	events := append([]event{}, f.books.delivered...)
	f.mu.Unlock()
	var deliveries []Delivery
	for _, e := range events {
		if d := f.deliver(ctx, e); d.URL != "" {
			deliveries = append(deliveries, d)
		}
	}
	return deliveries
}

// deliver makes one attempt.
func (f *Facebook) deliver(ctx context.Context, e event) Delivery {
	d := f.address(e)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL, bytes.NewReader(d.Body))
	if err != nil {
		d.Err = fmt.Errorf("delivering %s: %w", e.kind, err)
		return d
	}
	request.Header = d.Header
	if d.Status, d.Answer, err = f.ask(request); err == nil {
		err = checkAnswer(e.kind, d)
	}
	if err != nil {
		d.Err = fmt.Errorf("delivering %s: %w", e.kind, err)
	}
	return d
}

// address writes the envelope: where it goes, and signed with the secret of now.
func (f *Facebook) address(e event) Delivery {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := Delivery{Kind: e.kind, App: e.app, Object: e.object, Header: http.Header{}}
	app := f.books.apps[e.app]
	if e.kind == EventWebhook {
		if s := f.books.subscriptions[subscriptionKey{e.app, e.object}]; s != nil {
			d.URL = s.CallbackURL
		}
		d.Body = webhookBody(e.payload)
		d.Header.Set("Content-Type", "application/json")
		d.Header.Set("User-Agent", "Webhooks/1.0 (https://fb.me/webhooks)")
		d.Header.Set("X-Hub-Signature", "sha1="+hexHMACSHA1(app.Secret, d.Body))
		d.Header.Set("X-Hub-Signature-256", "sha256="+hexHMAC(app.Secret, string(d.Body)))
		return d
	}
	d.URL = app.callback(e.kind)
	d.Body = []byte(url.Values{"signed_request": {signedRequest(app.Secret, encode(e.payload))}}.Encode())
	d.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return d
}

// answerLimit is how much of an app's answer is read.
const answerLimit = 64 << 10

// ask makes a request of an app. Facebook follows no redirects.
func (f *Facebook) ask(request *http.Request) (status int, body string, err error) {
	client := *f.options().HTTPClient
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	read, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	return response.StatusCode, string(read), err
}

// checkAnswer tells what is wrong with an app's answer. To a data deletion request it has to name a status page and a
// confirmation code ("Data Deletion Request Callback").
func checkAnswer(kind string, d Delivery) error {
	if d.Status != http.StatusOK {
		return fmt.Errorf("the answer is status %d", d.Status)
	}
	if kind != EventDataDeletion {
		return nil
	}
	var answered struct {
		URL  string `json:"url"`
		Code string `json:"confirmation_code"`
	}
	if err := json.Unmarshal([]byte(d.Answer), &answered); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	page, err := url.Parse(answered.URL)
	if err != nil || !page.IsAbs() || answered.Code == "" {
		return errors.New("the answer lacks an absolute url or a confirmation_code")
	}
	return nil
}
