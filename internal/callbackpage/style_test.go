package callbackpage_test

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/callbackpage"
)

var colour = regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2});`)

// luminances returns the relative luminance of each colour that css names (WCAG 2.2).
func luminances(css string) map[string]float64 {
	found := map[string]float64{}
	for _, m := range colour.FindAllStringSubmatch(css, -1) {
		var l float64
		for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
			n, _ := strconv.ParseUint(m[2+i], 16, 8)
			c := float64(n) / 255
			if c <= 0.04045 {
				c /= 12.92
			} else {
				c = math.Pow((c+0.055)/1.055, 2.4)
			}
			l += weight * c
		}
		found[m[1]] = l
	}
	return found
}

func TestColoursHaveContrast(t *testing.T) {
	before, after, found := strings.Cut(callbackpage.Style, "@media (prefers-color-scheme: dark)")
	light, dark := luminances(before), luminances(after)
	if !found || len(light) < 10 || !slices.Equal(slices.Sorted(maps.Keys(light)), slices.Sorted(maps.Keys(dark))) {
		t.Fatalf("the schemes name different colours: %v, %v", light, dark)
	}
	for scheme, luminance := range map[string]map[string]float64{"light": light, "dark": dark} {
		for _, pair := range [][2]string{
			{"text", "card"}, {"text", "back"}, {"soft", "card"}, {"on-accent", "accent"}, {"accent", "card"},
			{"accent", "accent-tint"}, {"good", "good-tint"}, {"bad", "bad-tint"}, {"warn", "warn-tint"},
		} {
			a, b := luminance[pair[0]], luminance[pair[1]]
			// Level AA of success criterion 1.4.3.
			if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < 4.5 {
				t.Errorf("%s: %s on %s has a contrast of %.2f", scheme, pair[0], pair[1], ratio)
			}
		}
	}
}
