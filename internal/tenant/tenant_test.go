package tenant_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

func TestRefRoundTrips(t *testing.T) {
	for s, want := range map[string]struct {
		ref  tenant.Ref
		kind tenant.Kind
	}{
		"org_acme/facebook/installation":       {tenant.Ref{Tenant: "org_acme", Provider: "facebook"}, tenant.Installation},
		"org_acme/facebook/users/auth0|5f7c":   {tenant.Ref{Tenant: "org_acme", Provider: "facebook", User: "auth0|5f7c"}, tenant.User},
		"org_acme/facebook/pages/777":          {tenant.Ref{Tenant: "org_acme", Provider: "facebook", Page: "777"}, tenant.Page},
		"org_acme/facebook/users/u/pages/777":  {tenant.Ref{Tenant: "org_acme", Provider: "facebook", User: "u", Page: "777"}, tenant.Page},
		"org_acme/facebook/static/api-key":     {tenant.Ref{Tenant: "org_acme", Provider: "facebook", Name: "api-key"}, tenant.Static},
		"1/facebook/users/a@b.c+d=e~f:g|h_i-j": {tenant.Ref{Tenant: "1", Provider: "facebook", User: "a@b.c+d=e~f:g|h_i-j"}, tenant.User},
	} {
		ref, err := tenant.ParseRef(s)
		if err != nil || ref != want.ref || ref.Kind() != want.kind || ref.String() != s {
			t.Errorf("%s reads as %+v, a %s, %v", s, ref, ref.Kind(), err)
		}
		if flat, err := tenant.ParseFlat(ref.Flat()); err != nil || flat != ref || strings.Contains(ref.Flat(), "/") {
			t.Errorf("%s is flattened to %s, which reads as %+v, %v", s, ref.Flat(), flat, err)
		}
	}
}

func TestParseRefNamesInvalidField(t *testing.T) {
	for s, field := range map[string]string{
		"":                                                    "ref",
		"org_acme/facebook":                                   "ref",
		"org_acme/facebook/":                                  "ref",
		"org_acme/facebook/users/":                            "ref",
		"org_acme/facebook/users/u/":                          "ref",
		"org_acme/facebook/users/u/pages/":                    "ref",
		"org_acme/facebook/installation/x":                    "ref",
		"/facebook/installation":                              "tenant",
		"_org/facebook/installation":                          "tenant",
		"org:acme/facebook/installation":                      "tenant",
		"a..b/facebook/installation":                          "tenant",
		"org\x00/facebook/installation":                       "tenant",
		"orgé/facebook/installation":                          "tenant",
		strings.Repeat("a", 65) + "/f/installation":           "tenant",
		"org_acme//installation":                              "provider",
		"org_acme/face book/installation":                     "provider",
		"org_acme/facebook/users/a,b":                         "user",
		"org_acme/facebook/users/-a":                          "user",
		"org_acme/facebook/users/a..b":                        "user",
		"org_acme/facebook/users/" + strings.Repeat("a", 129): "user",
		"org_acme/facebook/pages/7 7":                         "page",
		"org_acme/facebook/static/..":                         "name",
	} {
		_, err := tenant.ParseRef(s)
		var invalid *tenant.InvalidError
		if !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("%q: %v, want an error of field %s", s, err, field)
		}
	}
}

func FuzzParseRef(f *testing.F) {
	f.Add("org_acme/facebook/users/u/pages/777")
	f.Add("org_acme,facebook/installation")
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := tenant.ParseRef(s)
		if err != nil {
			return
		}
		if ref.String() != s || ref.Check() != nil {
			t.Errorf("%q reads as %q, %v", s, ref, ref.Check())
		}
		if strings.ContainsAny(s, ", \x00\n%?#*\\<>\"'") || strings.Contains(s, "..") || len(s) > 400 || !utf8.ValidString(s) {
			t.Errorf("%q is accepted", s)
		}
		if back, err := tenant.ParseFlat(ref.Flat()); err != nil || back != ref {
			t.Errorf("%q does not survive flattening: %q, %v", s, back, err)
		}
	})
}

func FuzzParseFlat(f *testing.F) {
	f.Add("org_acme,facebook,users,u,pages,777")
	f.Add("org_acme,facebook/installation")
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := tenant.ParseFlat(s)
		if err != nil {
			return
		}
		// A key's segment must not contain a slash, which would make two segments of it.
		if flat := ref.Flat(); flat != s && !strings.Contains(s, "/") || strings.Contains(flat, "/") {
			t.Errorf("%q reads as %q", s, flat)
		}
		if back, err := tenant.ParseRef(ref.String()); err != nil || back != ref {
			t.Errorf("%q does not round-trip: %v, %v", s, back, err)
		}
	})
}

func TestKeyringOpensOnlyItsOwnRecordsInTheirPlace(t *testing.T) {
	a, b := newKeyring(t), newKeyring(t)
	sealed, err := a.Seal([]byte("secret"), []byte("place"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("secret")) {
		t.Error("the sealed record shows the secret")
	}
	stored, err := a.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	again, err := tenant.ParseKeyring(stored)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := again.Open(sealed, []byte("place")); err != nil || string(plain) != "secret" {
		t.Errorf("opened: %q, %v", plain, err)
	}
	if _, err := a.Open(sealed, []byte("another place")); err == nil {
		t.Error("the record opens in another place")
	}
	if _, err := b.Open(sealed, []byte("place")); err == nil {
		t.Error("another keyring opens it")
	}
	if _, err := tenant.ParseKeyring(stored[:len(stored)/2]); err == nil {
		t.Error("half a keyset is accepted")
	}
}

func newKeyring(t *testing.T) *tenant.Keyring {
	t.Helper()
	k, err := tenant.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestAccountKeyNamesAreStable(t *testing.T) {
	k, err := tenant.NewAccountKey()
	if err != nil {
		t.Fatal(err)
	}
	stored, err := k.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	again, err := tenant.ParseAccountKey(stored)
	if err != nil {
		t.Fatal(err)
	}
	name := func(k *tenant.AccountKey, provider, account string) string {
		t.Helper()
		s, err := k.Name(provider, account)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := name(k, "facebook", "900")
	if len(first) != 64 || name(again, "facebook", "900") != first {
		t.Error("the stored key gives another name")
	}
	other, _ := tenant.NewAccountKey()
	for what, s := range map[string]string{
		"another account": name(k, "facebook", "901"), "another provider": name(k, "face", "book900"), "another key": name(other, "facebook", "900"),
	} {
		if s == first {
			t.Errorf("%s has the same name", what)
		}
	}
}

func TestRotatedKeyringOpensFormerRecordsUntilPurged(t *testing.T) {
	first, err := tenant.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	old, _ := first.Seal([]byte("plain"), []byte("place"))
	second, err := first.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Open(old, []byte("place")); err != nil || second.Keys() != 2 || second.Current(old) || !first.Current(old) {
		t.Errorf("rotated: %v, %d keys", err, second.Keys())
	}
	fresh, _ := second.Seal([]byte("plain"), []byte("place"))
	if _, err := first.Open(fresh, []byte("place")); err == nil || !second.Current(fresh) || first.Keys() != 1 {
		t.Error("the former keyring has changed")
	}
	third, err := second.Purge()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := third.Open(old, []byte("place")); err == nil || third.Keys() != 1 {
		t.Error("a record of the purged key opens")
	}
	if _, err := third.Open(fresh, []byte("place")); err != nil {
		t.Error(err)
	}
	for _, short := range []string{"", "\x01", "\x01abc"} {
		if third.Current([]byte(short)) {
			t.Errorf("%q counts as sealed", short)
		}
	}
}
