package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

// catalogPlaces are the commands about where recipes come from.
func (a *app) catalogPlaces() []*cobra.Command {
	return []*cobra.Command{
		a.catalogAdd(), a.catalogSources(), a.catalogUpdate(), a.catalogDiff(), a.catalogPin(), a.catalogUnpin(), a.catalogRemove(),
		a.catalogTrust(), a.catalogUntrust(), a.catalogKeys(), a.catalogKeygen(), a.catalogSign(),
	}
}

func (a *app) catalogNames(ctx context.Context, c *api.Client) []string {
	items, err := c.Catalogs(ctx)
	return namesOf(items, err, func(v api.Catalog) string { return v.Name + "\t" + v.URL })
}

func (a *app) catalogAdd() *cobra.Command {
	var in api.CatalogAdd
	var key string
	cmd := &cobra.Command{
		Use: "add NAME PLACE", Short: "Add a catalog of recipes: a git repository, a folder, an index or an archive", Args: words("NAME PLACE", 2, 2),
		Long: "Add a catalog of recipes. PLACE is a git repository (https://HOST/PATH.git, git+https://...), a folder of the appliance's box,\n" +
			"the address of an index.yaml, or of a .tar.gz. It must be signed with a key that you trust (`palisade catalog trust`, or\n" +
			"--key here), unless you say --allow-unsigned. What was taken is kept on the box: a catalog that vanishes stays usable.",
		Example: "  palisade catalog add team https://git.example.org/models/catalog.git --key team.pub\n  palisade catalog add mine /srv/recipes --allow-unsigned\n  palisade install team/qwen3-8b",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name, in.URL = args[0], wholePath(args[1])
			if key != "" {
				text, err := a.publicKey(key)
				if err != nil {
					return err
				}
				in.TrustKey = text
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			added, err := c.AddCatalog(cmd.Context(), in)
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{added.Name}, json: added, text: func() error {
				a.notef("%s has %s, %s; install one with: palisade install %s/RECIPE", added.Name, plural(added.Recipes, "recipe"), signedWords(added), added.Name)
				a.badRecipes(added)
				return nil
			}})
		},
	}
	f := cmd.Flags()
	f.StringVar(&key, "key", "", "public key of minisign or cosign that it is signed with; it is trusted from now on")
	f.BoolVar(&in.AllowUnsigned, "allow-unsigned", false, "take it though nobody whom you trust has signed it")
	f.StringVar(&in.Path, "path", "", "the part of it that holds the recipes")
	f.StringVar(&in.Tracks, "revision", "", "of git: the branch or tag that is followed (default the repository's first)")
	f.StringVar(&in.Pin, "pin", "", "stay at this revision: a commit or tag of git, sha256:... of the others")
	return cmd
}

// wholePath makes a folder that is here one that the appliance finds, too.
func wholePath(place string) string {
	if info, err := os.Stat(place); err != nil || !info.IsDir() {
		return place
	}
	if whole, err := filepath.Abs(place); err == nil {
		return whole
	}
	return place
}

func signedWords(c api.Catalog) string {
	if c.SignedBy == "" {
		return "NOT SIGNED by anyone you trust"
	}
	return "signed by " + c.SignedBy
}

// badRecipes tells of recipes that cannot be used, the first few of them.
func (a *app) badRecipes(c api.Catalog) {
	told := 0
	for _, p := range c.Problems {
		if p.Severity == "warning" {
			continue
		}
		if told++; told > 10 {
			a.notef("... and more: palisade catalog sources %s", c.Name)
			return
		}
		a.notef("left out: %s", problemLine(p))
	}
}

func problemLine(p api.FieldError) string {
	at := p.File
	if p.Line > 0 {
		at += fmt.Sprintf(":%d:%d", p.Line, p.Column)
	}
	said := slices.DeleteFunc([]string{at, p.Field, p.Message}, func(part string) bool { return part == "" })
	return oneLine(strings.Join(said, ": "))
}

func (a *app) catalogSources() *cobra.Command {
	return &cobra.Command{
		Use: "sources [NAME]", Aliases: []string{"places"}, Short: "List the catalogs that were added, or tell all of one", Args: words("NAME", 0, 1), ValidArgsFunction: a.completeAt(0, a.catalogNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				one, err := c.Catalog(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.show(result{quiet: []string{one.Revision}, json: one, text: func() error { return a.describeCatalog(one) }})
			}
			all, err := c.Catalogs(cmd.Context())
			if err != nil {
				return err
			}
			if len(all) == 0 && a.output != "json" {
				a.notef("no catalogs were added; there are the recipes that come with Palisade: palisade catalog list")
				return nil
			}
			t, wide := newTable("CATALOG", "RECIPES", "SIGNED BY", "REVISION", "UPDATED", "STATE"), newTable("CATALOG", "KIND", "RECIPES", "SIGNED BY", "SERIAL", "REVISION", "UPDATED", "CHECKED", "STATE", "PLACE")
			r := result{json: notNull(all), table: t, wide: wide}
			for _, v := range all {
				t.add(v.Name, fmt.Sprint(v.Recipes), cmp.Or(v.SignedBy, "nobody"), shortRevision(v.Revision), a.agoPtr(v.UpdatedAt), catalogState(v))
				wide.add(v.Name, v.Kind, fmt.Sprint(v.Recipes), cmp.Or(v.SignedBy, "nobody"), fmt.Sprint(v.Serial), v.Revision, a.agoPtr(v.UpdatedAt), a.agoPtr(v.CheckedAt), catalogState(v), v.URL)
				r.quiet = append(r.quiet, v.Name)
			}
			return a.show(r)
		},
	}
}

// catalogState is how a catalog is in few words, the worst first.
func catalogState(c api.Catalog) string {
	switch {
	case c.Refused != "":
		return "not used: " + c.Refused
	case c.Problem != "":
		return "not updated: " + c.Problem
	case c.Pin != "":
		return "pinned"
	default:
		return "good"
	}
}

func shortRevision(revision string) string {
	revision = strings.TrimPrefix(revision, "sha256:")
	return revision[:min(len(revision), 12)]
}

func (a *app) describeCatalog(c api.Catalog) error {
	serial := ""
	if c.Serial > 0 {
		serial = fmt.Sprint(c.Serial)
	}
	a.fields([2]string{"Catalog", c.Name}, [2]string{"Title", c.Title}, [2]string{"Place", c.URL}, [2]string{"Part", c.Path}, [2]string{"Kind", c.Kind},
		[2]string{"State", catalogState(c)}, [2]string{"Recipes", fmt.Sprint(c.Recipes)}, [2]string{"Signed by", cmp.Or(c.SignedBy, "nobody whom you trust")},
		[2]string{"Serial", serial}, [2]string{"Follows", c.Tracks}, [2]string{"Pinned to", c.Pin}, [2]string{"Revision", c.Revision},
		[2]string{"Before", c.Previous}, [2]string{"Updated", a.agoPtr(c.UpdatedAt)}, [2]string{"Checked", a.agoPtr(c.CheckedAt)},
		[2]string{"Added", strings.TrimSpace(a.ago(c.AddedAt) + " by " + orDash(c.AddedBy))})
	for i, p := range c.Problems {
		if i == 0 {
			fmt.Fprintln(a.out, "\nProblems:")
		}
		fmt.Fprintf(a.out, "  %s\n", problemLine(p))
	}
	return nil
}

func (a *app) catalogUpdate() *cobra.Command {
	var in api.CatalogUpdate
	cmd := &cobra.Command{
		Use: "update [NAME...]", Short: "Take what is new in catalogs; without names, in all of them", Args: words("NAME", 0, -1), ValidArgsFunction: a.completeAt(-1, a.catalogNames),
		Long: "Take what is new in catalogs. Whatever goes wrong, what is here stays in use. A catalog that is signed must be signed with\n" +
			"the same key as before, and never comes with a smaller serial than the largest one seen.",
		RunE: func(cmd *cobra.Command, args []string) error { return a.updateCatalogs(cmd.Context(), args, in) },
	}
	f := cmd.Flags()
	f.BoolVar(&in.DryRun, "dry-run", false, "say what would come, and take nothing")
	f.BoolVar(&in.AllowUnsigned, "allow-unsigned", false, "take it though it is not signed any more")
	f.StringVar(&in.AcceptKey, "accept-key", "", "ID of another trusted key, where the maker signs with that from now on")
	_ = cmd.RegisterFlagCompletionFunc("accept-key", a.completeAt(-1, a.catalogKeyNames))
	return cmd
}

func (a *app) catalogDiff() *cobra.Command {
	return &cobra.Command{
		Use: "diff [NAME...]", Short: "Say what an update would bring, value by value", Args: words("NAME", 0, -1), ValidArgsFunction: a.completeAt(-1, a.catalogNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.updateCatalogs(cmd.Context(), args, api.CatalogUpdate{DryRun: true})
		},
	}
}

func (a *app) updateCatalogs(ctx context.Context, names []string, in api.CatalogUpdate) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	if len(names) == 0 {
		all, err := c.Catalogs(ctx)
		if err != nil {
			return err
		}
		for _, v := range all {
			names = append(names, v.Name)
		}
	}
	if (in.AllowUnsigned || in.AcceptKey != "") && len(names) > 1 {
		return &usageError{message: "--allow-unsigned and --accept-key are about one catalog", hint: "name it"}
	}
	failed := false
	updates := []api.CatalogUpdated{}
	for _, next := range updatesAtOnce(ctx, c, names, in) {
		u, err := next()
		if err != nil {
			a.report(err)
			failed = true
			continue
		}
		updates = append(updates, u)
	}
	r := result{json: updates, text: func() error {
		for _, u := range updates {
			a.describeUpdate(u, in.DryRun)
		}
		return nil
	}}
	for _, u := range updates {
		r.quiet = append(r.quiet, u.To)
	}
	if err := a.show(r); err != nil || !failed {
		return err
	}
	return errQuietFailure
}

// catalogsAtOnce is how many catalogs are asked at a time: one whose place is slow holds up no other.
const catalogsAtOnce = 8

// updatesAtOnce begins to update catalogs, and returns what waits for each.
func updatesAtOnce(ctx context.Context, c *api.Client, names []string, in api.CatalogUpdate) []func() (api.CatalogUpdated, error) {
	slots := make(chan struct{}, catalogsAtOnce)
	out := make([]func() (api.CatalogUpdated, error), len(names))
	for i, name := range names {
		var u api.CatalogUpdated
		var err error
		over := make(chan struct{})
		go func() {
			defer close(over)
			slots <- struct{}{}
			u, err = c.UpdateCatalog(ctx, name, in)
			<-slots
		}()
		out[i] = func() (api.CatalogUpdated, error) { <-over; return u, err }
	}
	return out
}

// describeUpdate tells what changed, or would.
func (a *app) describeUpdate(u api.CatalogUpdated, dry bool) {
	switch {
	case u.Pinned && !dry && len(u.Changes) == 0:
		fmt.Fprintf(a.out, "%s is pinned to %s; follow it again: palisade catalog unpin %s\n", u.Catalog, shortRevision(u.To), u.Catalog)
		return
	case len(u.Changes) == 0 && u.From == u.To:
		fmt.Fprintf(a.out, "%s is up to date\n", u.Catalog)
	case len(u.Changes) == 0:
		fmt.Fprintf(a.out, "%s: no recipe changes, %s to %s\n", u.Catalog, shortRevision(u.From), shortRevision(u.To))
	default:
		verb := "took"
		if dry {
			verb = "would take"
		}
		fmt.Fprintf(a.out, "%s %s %s, %s\n", u.Catalog, verb, shortRevision(u.To), signedWords(api.Catalog{SignedBy: u.SignedBy}))
	}
	for _, c := range u.Changes {
		switch c.Kind {
		case "added":
			fmt.Fprintf(a.out, "  + %s %s\n", oneLine(c.Recipe), oneLine(c.To))
		case "removed":
			fmt.Fprintf(a.out, "  - %s %s\n", oneLine(c.Recipe), oneLine(c.From))
		default:
			fmt.Fprintf(a.out, "  ~ %s %s\n", oneLine(c.Recipe), oneLine(strings.Join(slices.Compact([]string{c.From, c.To}), " -> ")))
		}
		for _, f := range c.Fields {
			fmt.Fprintf(a.out, "      %s: %s -> %s\n", oneLine(f.Name), orDash(oneLine(f.From)), orDash(oneLine(f.To)))
		}
	}
	for _, b := range u.Broken {
		fmt.Fprintf(a.out, "  ! %s\n", oneLine(b))
	}
	if dry && u.Pinned {
		fmt.Fprintf(a.out, "  it is pinned, and stays where it is: palisade catalog unpin %s\n", u.Catalog)
	}
}

func (a *app) catalogPin() *cobra.Command {
	return &cobra.Command{
		Use: "pin NAME [REVISION]", Short: "Keep a catalog at a revision: the one in use, the one before, or another that is taken now", Args: words("NAME REVISION", 1, 2), ValidArgsFunction: a.completeAt(0, a.catalogNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := api.CatalogPin{}
			if len(args) == 2 {
				in.Revision = args[1]
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			u, err := c.PinCatalog(cmd.Context(), args[0], in)
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{u.To}, json: u, text: func() error {
				a.describeUpdate(u, false)
				return nil
			}})
		},
	}
}

func (a *app) catalogUnpin() *cobra.Command {
	return &cobra.Command{
		Use: "unpin NAME...", Short: "Have catalogs follow their places again", Args: words("NAME", 1, -1), ValidArgsFunction: a.completeAt(-1, a.catalogNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(name string) error { return c.UnpinCatalog(cmd.Context(), name) })
		},
	}
}

func (a *app) catalogRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME...", Aliases: []string{"rm"}, Short: "Forget catalogs; what was installed from them stays", Args: words("NAME", 1, -1), ValidArgsFunction: a.completeAt(-1, a.catalogNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(name string) error { return c.RemoveCatalog(cmd.Context(), name) })
		},
	}
}
