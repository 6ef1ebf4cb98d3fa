package facebook_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

func signature(secret, body string) string { return "sha256=" + hex.EncodeToString(sum(secret, body)) }

// delivered is a delivery of one entry about person 900.
func delivered(object, changes string) string {
	return `{"object":"` + object + `","entry":[{"id":"900","uid":"900","time":` + issued + `,"changes":[` + changes + `]}]}`
}

func TestOpenDeliveryReadsNotifications(t *testing.T) {
	person := func(gone bool) []provider.Notification {
		return []provider.Notification{{Account: "900", Gone: gone, At: told}}
	}
	business := func(gone bool) []provider.Notification {
		return []provider.Notification{{Business: "5566", Gone: gone, At: told}}
	}
	uninstalled := `{"field":"business_integration_uninstall","value":{"business_manager_id":"5566"}}`
	for name, row := range map[string]struct {
		body string
		want []provider.Notification
	}{
		"a permission, as in the wire examples":  {`{"object":"permissions","entry":[{"id":"900","uid":"900","time":1795435200,"changes":[{"field":"pages_show_list","value":{"verb":"revoked","target_ids":["777"]}}]}]}`, person(false)},
		"odd blanks and escapes":                 {`{"object": "permissions", "entry": [{"id": "900", "time": 1795435200, "changes": [{"field": "connected", "value": {"verb": "revoked", "n": "\u00e9\/"}}]}]}`, person(true)},
		"connected":                              {delivered("permissions", `{"field":"connected","value":{"verb":"revoked"}}`), person(true)},
		"connected, the verb beside":             {delivered("permissions", `{"field":"connected","verb":"revoked"}`), person(true)},
		"connected again":                        {delivered("permissions", `{"field":"connected","value":{"verb":"granted"}}`), person(false)},
		"connected, with a value of a kind":      {delivered("permissions", `{"field":"connected","value":"revoked"}`), person(false)},
		"connected among others":                 {delivered("permissions", `{"field":"email","value":{"verb":"revoked"}},{"field":"connected","verb":"revoked"},{"field":"x"}`), person(true)},
		"no values":                              {`{"object":"permissions","entry":[{"uid":900,"time":1795435200,"changed_fields":["connected"]}]}`, person(false)},
		"no changes":                             {`{"object":"permissions","entry":[{"id":"900","time":1795435200}]}`, nil},
		"nobody":                                 {`{"object":"permissions","entry":[{"id":"x","changes":[{"field":"connected","verb":"revoked"}]}]}`, nil},
		"no time":                                {`{"object":"permissions","entry":[{"id":"900","changes":[{"field":"connected","verb":"revoked"}]}]}`, []provider.Notification{{Account: "900", Gone: true}}},
		"a time in milliseconds":                 {`{"object":"permissions","entry":[{"id":"900","time":1795435200000,"changes":[{"field":"connected","verb":"revoked"}]}]}`, []provider.Notification{{Account: "900", Gone: true}}},
		"an odd time":                            {`{"object":"permissions","entry":[{"id":"900","time":"noon","changes":[{"field":"email"}]}]}`, []provider.Notification{{Account: "900"}}},
		"an uninstall, as in the wire examples":  {`{"object":"application","entry":[{"id":"123","time":1795435200,"changes":[{"field":"business_integration_uninstall","value":{"business_manager_id":"5566"}}]}]}`, business(true)},
		"an uninstall, the id a number":          {delivered("application", `{"field":"business_integration_uninstall","value":{"business_manager_id":5566}}`), business(true)},
		"an update":                              {delivered("application", `{"field":"business_integration_update","value":{"business_manager_id":"5566"}}`), business(false)},
		"an install":                             {delivered("application", `{"field":"business_integration_install","value":{"business_manager_id":"5566","tp_config_id":"31"}}`), business(false)},
		"an uninstall of nobody":                 {delivered("application", `{"field":"business_integration_uninstall","value":{}}`), nil},
		"an uninstall of an account":             {delivered("application", `{"field":"business_integration_uninstall","value":{"business_manager_id":"../900"}}`), nil},
		"something else of the application":      {delivered("application", `{"field":"ads_rules_engine","value":{"business_manager_id":"5566"}}`), nil},
		"an uninstall twice, and an update":      {delivered("application", uninstalled+","+uninstalled+`,{"field":"business_integration_update","value":{"business_manager_id":"5566"}}`), append(business(true), business(false)...)},
		"an uninstall among the permissions":     {delivered("permissions", uninstalled), person(false)},
		"another object":                         {delivered("page", `{"field":"connected","verb":"revoked"}`), nil},
		"no object":                              {`{}`, nil},
		"entries that cannot be read, and one":   {`{"object":"permissions","entry":[1,"x",null,[],{"changes":1},{"id":"900","time":1795435200,"changes":[{"field":"connected","verb":"revoked"}]}]}`, person(true)},
		"the same said twice, the later last":    {`{"object":"permissions","entry":[{"id":"900","time":1,"changed_fields":["a"]},{"id":"900","time":1795435200,"changed_fields":["b"]}]}`, person(false)},
		"the same said twice, the later first":   {`{"object":"permissions","entry":[{"id":"900","time":1795435200,"changed_fields":["a"]},{"id":"900","time":1,"changed_fields":["b"]}]}`, person(false)},
		"a member that is not known, and is big": {`{"object":"page","x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, nil},
	} {
		got, err := offline().OpenDelivery(client, []byte(row.body), signature(appSecret, row.body))
		for i := range got {
			if (got[i].Reason != "") != got[i].Gone {
				t.Errorf("%s: the reason is %q", name, got[i].Reason)
			}
			got[i].Reason = ""
		}
		if diff := cmp.Diff(row.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}

func TestADeliveryIsSignedOverItsBytes(t *testing.T) {
	body := delivered("permissions", `{"field":"connected","verb":"revoked"}`)
	for name, row := range map[string]struct {
		body, signature string
		client          oauth.Client
		ok              bool
	}{
		"the secret of now":            {body, signature(appSecret, body), both, true},
		"the former secret":            {body, signature("OLD", body), both, true},
		"the former secret, long ago":  {body, signature("OLD", body), client, false},
		"another secret":               {body, signature("ANOTHER", body), both, false},
		"no secret":                    {body, signature("", body), oauth.Client{}, false},
		"no signature":                 {body, "", both, false},
		"the old header":               {body, "sha1=" + hex.EncodeToString(sum(appSecret, body)), both, false},
		"without its name":             {body, signature(appSecret, body)[7:], both, false},
		"in capitals":                  {body, "sha256=" + strings.ToUpper(signature(appSecret, body)[7:]), both, false},
		"more behind it":               {body, signature(appSecret, body) + " ", both, false},
		"cut short":                    {body, signature(appSecret, body)[:70], both, false},
		"another body":                 {body + " ", signature(appSecret, body), both, false},
		"no JSON":                      {"connected", signature(appSecret, "connected"), both, false},
		"longer than any":              {strings.Repeat(" ", 1<<20) + body, signature(appSecret, strings.Repeat(" ", 1<<20)+body), both, false},
		"a signed request's signature": {genuine, signed(appSecret, genuine)[:43], both, false},
	} {
		if _, err := offline().OpenDelivery(row.client, []byte(row.body), row.signature); (err == nil) != row.ok || err != nil && !errors.Is(err, provider.ErrUnverified) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range len(body) * 8 {
		b := []byte(body)
		b[i/8] ^= 1 << (i % 8)
		if _, err := offline().OpenDelivery(both, b, signature(appSecret, body)); err == nil {
			t.Fatalf("with bit %d flipped it is taken", i)
		}
	}
}

func TestABatchHasAThousandEntriesAtTheMost(t *testing.T) {
	for n, ok := range map[int]bool{1000: true, 1001: false} {
		var entries []string
		for i := range n {
			entries = append(entries, fmt.Sprintf(`{"id":"%d","time":%s,"changed_fields":["x"]}`, i%700, issued))
		}
		body := `{"object":"permissions","entry":[` + strings.Join(entries, ",") + `]}`
		got, err := offline().OpenDelivery(client, []byte(body), signature(appSecret, body))
		if (err == nil) != ok || ok && len(got) != 700 {
			t.Errorf("%d entries: %d words, %v", n, len(got), err)
		}
	}
}

func FuzzDelivery(f *testing.F) {
	f.Add([]byte(delivered("permissions", `{"field":"connected","verb":"revoked"}`)), "sha256=")
	f.Fuzz(func(t *testing.T, body []byte, stranger string) {
		if _, err := offline().OpenDelivery(both, body, stranger); err != nil && !errors.Is(err, provider.ErrUnverified) {
			t.Errorf("%q: %v", body, err)
		}
		words, err := offline().OpenDelivery(client, body, signature(appSecret, string(body)))
		if err != nil && !errors.Is(err, provider.ErrUnverified) || len(words) > len(body) {
			t.Errorf("%q: %d words, %v", body, len(words), err)
		}
		for _, w := range words {
			id := w.Account + w.Business
			if w.Account != "" && w.Business != "" || id == "" || len(id) > 32 || strings.Trim(id, "0123456789") != "" || w.At.After(told.Add(time.Hour)) {
				t.Errorf("%q tells %+v", body, w)
			}
		}
	})
}
