package callbackpage_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/callbackpage"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/flow"
)

var placeholder = regexp.MustCompile(`\{(application|provider|organization)\}`)

func TestLanguagesHaveEachText(t *testing.T) {
	all := callbackpage.Texts()
	if len(all) != len(callbackpage.Tags()) {
		t.Error("a language stands in the table twice")
	}
	placeholders := func(text string) []string {
		found := placeholder.FindAllString(text, -1)
		slices.Sort(found)
		return found
	}
	for name, english := range all["en"] {
		for language, texts := range all {
			text := texts[name]
			switch {
			case strings.TrimSpace(text) == "" || text != strings.TrimSpace(text):
				t.Errorf("%s: %s is %q", language, name, text)
			case language != "en" && text == english:
				t.Errorf("%s: %s is not translated", language, name)
			case !slices.Equal(placeholders(text), placeholders(english)):
				t.Errorf("%s: %s has the placeholders %q, want %q", language, name, placeholders(text), placeholders(english))
			case strings.ContainsAny(placeholder.ReplaceAllString(text, ""), "{}<>&"):
				t.Errorf("%s: %s has braces or markup: %s", language, name, text)
			}
		}
	}
}

var root = regexp.MustCompile(`<html lang="([^"]*)" dir="(ltr|rtl)">`)

// languageOf returns the page's language, and its direction.
func languageOf(t *testing.T, acceptLanguage ...string) (language, direction string) {
	t.Helper()
	r, err := callbackpage.Render(flow.CallbackPage{Provider: "Facebook"}, acceptLanguage)
	if err != nil {
		t.Fatal(err)
	}
	found := root.FindSubmatch(r.HTML)
	if found == nil {
		t.Fatalf("the page has no language:\n%s", r.HTML)
	}
	if r.Header.Get("Content-Language") != string(found[1]) || r.Header.Get("Vary") != "Accept-Language" {
		t.Errorf("the page is in %s, its headers are %v", found[1], r.Header)
	}
	return string(found[1]), string(found[2])
}

func TestPageFollowsAcceptLanguage(t *testing.T) {
	for name, row := range map[string]struct {
		header []string
		want   string
	}{
		"no header":                          {nil, "en"},
		"an empty one":                       {[]string{""}, "en"},
		"any language":                       {[]string{"*"}, "en"},
		"one language":                       {[]string{"de"}, "de"},
		"a region":                           {[]string{"de-AT"}, "de"},
		"a region in lower case":             {[]string{"pt-br"}, "pt-BR"},
		"another region":                     {[]string{"pt-PT,pt;q=0.9"}, "pt-BR"},
		"Latin America":                      {[]string{"es-419,es;q=0.9,en;q=0.8"}, "es"},
		"Egypt":                              {[]string{"ar-EG"}, "ar"},
		"the former code of Indonesian":      {[]string{"in-ID"}, "id"},
		"what Chrome sends":                  {[]string{"fr-FR,fr;q=0.9,en-US;q=0.8,en;q=0.7"}, "fr"},
		"preferences in no order":            {[]string{"en;q=0.3, tr;q=0.9, it;q=0.5"}, "tr"},
		"two headers":                        {[]string{"ja", "vi;q=0.5"}, "vi"},
		"English first":                      {[]string{"en-GB,de;q=0.9"}, "en"},
		"a language that the page is not in": {[]string{"fi"}, "en"},
		"one that the page is not in, then one it is in": {[]string{"fi-FI, fi;q=0.9, th;q=0.1"}, "th"},
		"Ukrainian is not Russian, Basque not Spanish":   {[]string{"uk, eu;q=0.9"}, "en"},
		"Basque, then French":                            {[]string{"eu, fr;q=0.5"}, "fr"},
		"refused":                                        {[]string{"de;q=0, it;q=0.1"}, "it"},
		"nothing that can be read":                       {[]string{"\x00;;q=q,,"}, "en"},
		"a private tag":                                  {[]string{"x-klingon, hi"}, "hi"},
		"Bengali":                                        {[]string{"bn-BD"}, "bn"},
		"longer than any browser's":                      {[]string{strings.Repeat("de,", 1000)}, "en"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, _ := languageOf(t, row.header...); got != row.want {
				t.Errorf("%q is answered in %s, want %s", row.header, got, row.want)
			}
		})
	}
}

func TestEachLanguageCanBeAskedFor(t *testing.T) {
	for _, want := range callbackpage.Tags() {
		got, direction := languageOf(t, want)
		if got != want || (direction == "rtl") != (want == "ar") {
			t.Errorf("%s is answered in %s, %s", want, got, direction)
		}
	}
}

// FuzzAcceptLanguage: any client may send the header: the path needs no token.
func FuzzAcceptLanguage(f *testing.F) {
	for _, header := range []string{"", "*", "de-AT, fr;q=0.5", "x-y, i-klingon", "en-u-co-phonebk;q=0.001", strings.Repeat("a-", 500), "zh-Hant-TW;q=1.000"} {
		f.Add(header)
	}
	tags := callbackpage.Tags()
	f.Fuzz(func(t *testing.T, header string) {
		if got, _ := languageOf(t, header); !slices.Contains(tags, got) {
			t.Errorf("%q is answered in %s", header, got)
		}
	})
}
