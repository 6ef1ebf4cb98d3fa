package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	facebooksName = regexp.MustCompile(`(?i)facebook|fbtrace|graph|appsecret`)
	facebooksText = regexp.MustCompile(`(?i)facebook|\bmeta('s)?\b|fb\.login|embedded signup|graph api|debug_token|appsecret|\bv[0-9]{2}\.[0-9]\b`)
)

// seamExceptions are what may name Facebook outside its package, by file: the names that
// the API had before there was a seam, what the API says of fields that only Facebook has,
// examples, and the line that registers it.
var seamExceptions = map[string][]string{
	"backend/backend.go":             {"facebook", `"facebook"`, `"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider/facebook"`},
	"internal/provider/provider.go":  {"A dialect (package facebook)", `"Facebook".`},
	"internal/callbackpage/texts.go": {"those that most people use Facebook in"},
	"paths/accounts.go":              {"at Facebook the app-scoped id"},
	"paths/config_field.go":          {"Facebook's client token", "A Facebook Login for Business configuration", "such as v27.0"},
	"paths/field.go":                 {"such as facebook"},
	"paths/view_answer.go":           {"appsecret_proof", "appsecret_time"},
}

// TestNothingElseKnowsFacebook looks for Facebook's names and words in the engine outside
// of its package.
func TestNothingElseKnowsFacebook(t *testing.T) {
	for _, dir := range []string{"../internal", "../paths", "../backend"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			name := strings.TrimPrefix(path, "../")
			if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "internal/provider/facebook/") ||
				strings.HasPrefix(name, "internal/reference/") || strings.HasPrefix(name, "internal/vaulttest/") || strings.HasPrefix(name, "internal/canary/") ||
				strings.HasPrefix(name, "internal/enginetest/") {
				return err
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
			if err != nil {
				return err
			}
			report := func(at token.Pos, text string, what *regexp.Regexp) {
				rest := text
				for _, exception := range seamExceptions[name] {
					rest = strings.ReplaceAll(rest, exception, "")
				}
				if found := what.FindString(rest); found != "" {
					t.Errorf("%s: %q is Facebook's, in %q", set.Position(at), found, text)
				}
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.Ident:
					report(n.Pos(), n.Name, facebooksName)
				case *ast.BasicLit:
					report(n.Pos(), n.Value, facebooksText)
				}
				return true
			})
			for _, comment := range file.Comments {
				report(comment.Pos(), comment.Text(), facebooksText)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
