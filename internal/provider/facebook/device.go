package facebook

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// Subcodes of the device login (Meta: "Facebook Login for Devices"). Its errors
// are Graph's and not those of RFC 8628, section 3.5; the codes beside these
// mean other things elsewhere.
const (
	subcodeDeviceExpired = 1349152
	subcodeDeviceTooFast = 1349172
	subcodeDevicePending = 1349174
)

// deviceInterval is waited between polls if the answer says nothing (RFC 8628,
// section 3.2).
const deviceInterval = 5 * time.Second

// devices logs people in where there is no browser.
type devices struct{ *graph }

// BeginDevice implements [provider.DeviceFlow].
func (p devices) BeginDevice(ctx context.Context, c oauth.Client, scopes []string) (provider.DeviceCode, error) {
	const op = "beginning a device login"
	var answer struct {
		Code            string `json:"code"`
		UserCode        string `json:"user_code"`
		VerificationURI string `json:"verification_uri"`
		ExpiresIn       int64  `json:"expires_in"`
		Interval        int64  `json:"interval"`
	}
	if c.Token.IsZero() {
		return provider.DeviceCode{}, &provider.Error{Class: provider.Misconfigured, Op: op, Message: "the client token is not known: it stands under App settings, Advanced, Security; write it as client_token"}
	}
	if err := p.device(ctx, c, op, "/device/login", url.Values{"scope": {strings.Join(scopes, ",")}}, &answer); err != nil {
		return provider.DeviceCode{}, err
	}
	if answer.Code == "" || answer.UserCode == "" || answer.ExpiresIn <= 0 {
		return provider.DeviceCode{}, &provider.Error{Class: provider.Transient, Op: op, Message: "the answer holds no codes"}
	}
	code := provider.DeviceCode{
		Code: oauth.NewSecret(answer.Code), UserCode: answer.UserCode, VerificationURI: answer.VerificationURI,
		ExpiresIn: time.Duration(min(answer.ExpiresIn, 3600)) * time.Second,
		Interval:  time.Duration(min(answer.Interval, 60)) * time.Second,
	}
	if code.Interval <= 0 {
		code.Interval = deviceInterval
	}
	return code, nil
}

// PollDevice implements [provider.DeviceFlow].
func (p devices) PollDevice(ctx context.Context, c oauth.Client, code oauth.Secret) (oauth.Token, error) {
	const op = "polling a device login"
	var answer tokenAnswer
	err := p.device(ctx, c, op, "/device/login_status", url.Values{"code": {code.Reveal()}}, &answer)
	var e *provider.Error
	if errors.As(err, &e) {
		switch e.Subcode {
		case subcodeDevicePending:
			e.Err = provider.ErrPending
		case subcodeDeviceTooFast:
			e.Err = provider.ErrSlowDown
		case subcodeDeviceExpired:
			e.Err = provider.ErrCodeExpired
		}
		return oauth.Token{}, e
	}
	if answer.AccessToken == "" {
		return oauth.Token{}, &provider.Error{Class: provider.Transient, Op: op, Message: "the answer holds no access_token"}
	}
	return p.token(answer), nil
}

// device makes a call of the device login, which takes the client token and no
// other.
func (p devices) device(ctx context.Context, c oauth.Client, op, path string, form url.Values, into any) error {
	form.Set("access_token", c.ID+"|"+c.Token.Reveal())
	secrets := []oauth.Secret{c.Token}
	if code := form.Get("code"); code != "" {
		secrets = append(secrets, oauth.NewSecret(code))
	}
	return p.call(ctx, request{
		op: op, client: true, method: http.MethodPost, url: c.APIBase + "/" + c.APIVersion + path, form: form, secrets: secrets,
	}, into)
}
