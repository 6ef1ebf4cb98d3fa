package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A structType is a struct of the engine, by "package.Name".
type structType struct {
	name   string
	fields *ast.FieldList
}

// engineTypes reads the structs of the engine from its source, and the types
// that have a method Format or embed oauth.Unprintable, which has it.
func engineTypes(t *testing.T) (structs []structType, format map[string]bool) {
	t.Helper()
	format = map[string]bool{}
	for _, dir := range []string{".", "../paths", "../backend"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "canary") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.TypeSpec:
					if s, ok := n.Type.(*ast.StructType); ok {
						structs = append(structs, structType{file.Name.Name + "." + n.Name.Name, s.Fields})
					}
				case *ast.MapType:
					if nameIn(n.Key) == "Secret" {
						t.Errorf("%s has a map with secrets for keys, which JSON shows", path)
					}
				case *ast.FuncDecl:
					if n.Recv != nil && n.Name.Name == "Format" {
						format[file.Name.Name+"."+nameIn(n.Recv.List[0].Type)] = true
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range structs {
		for _, f := range s.fields.List {
			if len(f.Names) == 0 && nameIn(f.Type) == "Unprintable" {
				format[s.name] = true
			}
		}
	}
	return structs, format
}

// nameIn is the name of the type that fmt would print the fields of, or "".
// Below the first level it prints a pointer as an address.
func nameIn(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.ArrayType:
		return nameIn(e.Elt)
	case *ast.MapType:
		return nameIn(e.Value)
	}
	return ""
}

// TestNoStructShowsItsSecretsWhenItIsPrinted looks for the one place where
// redaction by type does not hold: fmt cannot ask the methods of a field that
// is not exported, and prints the string of a Secret there.
func TestNoStructShowsItsSecretsWhenItIsPrinted(t *testing.T) {
	structs, format := engineTypes(t)
	// Types that hold a Secret, by bare name: one too many does no harm.
	holding := map[string]bool{"Secret": true}
	for grown := true; grown; {
		grown = false
		for _, s := range structs {
			_, bare, _ := strings.Cut(s.name, ".")
			for _, f := range s.fields.List {
				if holding[nameIn(f.Type)] && !holding[bare] && !format[s.name] {
					holding[bare], grown = true, true
				}
			}
		}
	}
	for _, name := range []string{"Token", "Client", "Session", "Credential", "Config", "Grant"} {
		if !holding[name] {
			t.Errorf("%s is not known to hold a secret: %v", name, slices.Sorted(maps.Keys(holding)))
		}
	}
	// The Store's fallbacks are defaults, which have no secrets.
	format["store.Store"] = true
	for _, s := range structs {
		for _, f := range s.fields.List {
			if len(f.Names) > 0 && !f.Names[0].IsExported() && holding[nameIn(f.Type)] && !format[s.name] {
				t.Errorf("%s shows the secret in its field %s to whoever prints it: export the field, or embed oauth.Unprintable", s.name, f.Names[0].Name)
			}
		}
	}
}

// secretField is what a field is called that holds a secret.
var secretField = regexp.MustCompile(`(?i)^(.*(token|secret|verifier|nonce|password|connectkey|state)|code|former)$`)

// plain are the structs that have a secret in a plain string: as it travels,
// or as it is sealed. They are made in the call that sends, parses or seals
// them, and nobody keeps or prints them.
var plain = map[string][]string{
	"facebook.accounts":      {"AccessToken"},
	"facebook.tokenAnswer":   {"AccessToken"},
	"store.configAtRest":     {"ClientSecret", "FormerSecret", "ClientToken"},
	"store.sessionAtRest":    {"Verifier", "Nonce", "ConnectKey", "Code", "AccessToken"},
	"store.credentialAtRest": {"AccessToken", "FormerToken"},
}

func TestASecretIsInNoPlainString(t *testing.T) {
	structs, _ := engineTypes(t)
	found := map[string][]string{}
	for _, s := range structs {
		ast.Inspect(s.fields, func(n ast.Node) bool {
			f, ok := n.(*ast.Field)
			if !ok || nameIn(f.Type) != "string" && nameIn(f.Type) != "byte" {
				return true
			}
			for _, name := range f.Names {
				if secretField.MatchString(name.Name) {
					found[s.name] = append(found[s.name], name.Name)
				}
			}
			return true
		})
	}
	for name, fields := range found {
		for _, field := range fields {
			if !slices.Contains(plain[name], field) {
				t.Errorf("%s has a plain string in its field %s: make it an oauth.Secret, or say here why not", name, field)
			}
		}
	}
	for name, fields := range plain {
		for _, field := range fields {
			if !slices.Contains(found[name], field) {
				t.Errorf("%s has no plain string in a field %s any more", name, field)
			}
		}
	}
}
