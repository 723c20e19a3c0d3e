package api

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// document is what these tests read of the OpenAPI document.
type document struct {
	OpenAPI    string                          `yaml:"openapi"`
	Paths      map[string]map[string]yaml.Node `yaml:"paths"`
	Components struct {
		Schemas    map[string]schema    `yaml:"schemas"`
		Parameters map[string]yaml.Node `yaml:"parameters"`
		Responses  map[string]yaml.Node `yaml:"responses"`
	} `yaml:"components"`
}

type schema struct {
	Ref                  string            `yaml:"$ref"`
	Type                 any               `yaml:"type"`
	Format               string            `yaml:"format"`
	Required             []string          `yaml:"required"`
	Properties           map[string]schema `yaml:"properties"`
	Items                *schema           `yaml:"items"`
	AdditionalProperties any               `yaml:"additionalProperties"`
}

func load(t *testing.T) document {
	t.Helper()
	var d document
	if err := yaml.Unmarshal(OpenAPI(), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// shapes are all structs that go over the wire, and whether clients send them.
func shapes() map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for _, v := range []any{
		Problem{}, FieldError{}, Service{}, Recipe{}, Mount{}, Policy{}, Routing{}, ServiceCreate{}, ServiceUpdate{}, Scale{}, Route{},
		RouteUpdate{}, ServiceErrors{}, RouteError{}, Event{}, Revision{}, RollBack{}, Token{}, TokenCreate{}, TokenIssued{}, TokenLimits{}, TokenStanding{},
		Session{}, Cluster{}, Container{}, SessionMount{}, SessionIdle{}, SessionMetrics{}, SessionMetric{}, SessionMetricPoint{}, App{}, AppLink{}, SessionCreate{}, SessionsCreated{}, SessionUpdate{}, SessionCommit{}, Exit{}, Transition{}, Stats{}, Folder{}, FolderCreate{}, FolderUpdate{}, FolderUse{}, FolderShare{}, FolderClone{}, FolderCloning{}, FolderRestore{}, Entry{}, Directory{}, Validate{}, Validation{}, EntryMove{}, DirectoryCreate{}, UploadCreate{}, FolderUpload{}, UploadFinish{}, Version{}, Restarted{}, Runtime{}, Doctor{}, Check{}, Glance{}, About{}, Module{}, Setting{}, GlanceServices{}, GlanceService{}, GlanceSessions{}, GlanceInstall{}, GlanceToken{}, Happening{},
		Image{}, ImagePull{}, PullProgress{}, ImagePrune{}, ImagesPruned{}, Registry{}, RegistryLogIn{}, Backup{}, BackupCreate{}, Bundle{}, BundleLicense{}, Secret{}, SecretValue{}, SecretsRotated{}, AuditRecord{}, AuditChange{}, AuditLine{}, AuditVerify{}, AuditVerdict{}, Catalog{}, CatalogAdd{}, CatalogUpdate{}, CatalogPin{}, CatalogUpdated{}, CatalogChange{}, CatalogFieldChange{}, CatalogKey{}, CatalogKeyTrust{}, Me{}, MyProject{}, LogIn{}, Key{}, KeyCreate{}, KeyIssued{}, SSH{}, SSHKey{}, SSHKeyCreate{},
		Provider{}, LogInSession{}, PasswordChange{}, TOTPStart{}, TOTPDrop{}, RecoveryRenewal{}, TOTP{}, User{}, UserCreate{}, UserMade{}, UserUpdate{}, UserReset{},
		Project{}, ProjectCreate{}, ProjectUpdate{}, ProjectMember{}, ProjectContents{}, ProjectMemberSet{}, Limits{}, LimitBound{}, LimitsSet{},
		CatalogRecipe{}, RecipeLicense{}, RecipeSource{}, RecipeVariant{}, RecipeVerified{}, RecipeFit{}, RecipeOverview{}, RecipeRow{}, PlanCreate{}, Plan{}, PlanPart{}, PlanPlace{}, PlanUse{}, PlanMove{}, PlanDisk{}, PlanStep{}, PlanAttempt{}, PlanAlternative{},
		ModelVerify{}, VerifyProgress{}, ModelDamage{}, ModelsSwept{},
		Node{}, Cores{}, Bytes{}, NUMANode{}, DeviceCount{}, Device{}, Holder{}, Link{}, DeviceHistory{}, DevicePoint{}, Fence{},
		ClusterStatus{}, ClusterBox{}, ClusterMember{}, ClusterQuorum{}, ClusterSelf{}, ClusterInit{}, ClusterJoin{}, ClusterLeave{}, ClusterTokenCreate{}, ClusterToken{}, ClusterTokenIssued{}, ClusterBoxUpdate{},
		SessionPage{}, SessionCheck{},
		Pipeline{}, PipelineParameter{}, PipelineSchedule{}, PipelineTask{}, PipelineApply{}, JobCreate{}, Job{}, JobTask{}, JobNotification{},
		InstallCreate{}, Install{}, InstallStep{}, InstallTransfer{}, Model{}, ModelRevision{}, ModelFile{}, ModelUpdate{}, ModelRollback{}, ModelPin{}, ModelRemoved{},
		Claim{}, ClaimDevice{}, Wait{}, Waiting{},
		Usage{}, UsageRow{}, SessionUsage{}, SessionUsageRow{}, Autoscaling{}, AutoscalingStanding{}, Rule{}, Decision{}, Standoff{}, Seen{}, Verdict{}, Wish{}, Signal{}, Metric{}, Calibrate{}, CalibrationStanding{}, CalibrationRun{}, CalibrationFailure{}, Calibration{}, CalibrationPoint{}, ServiceLive{}, ServiceCheck{}, Rehearse{}, Rehearsal{}, RehearsalRoute{}, RehearsalRun{}, RehearsalStep{}, RehearsalPoint{}, ServiceOverview{}, ServiceRow{}, ServiceHistory{}, ServiceMoment{}, RouteLive{}, LiveFigures{}, LiveQuantiles{}, Capture{}, CaptureMessage{}, CaptureField{},
	} {
		t := reflect.TypeOf(v)
		out[t.Name()] = t
	}
	return out
}

func TestSchemasAreTheStructs(t *testing.T) {
	d := load(t)
	all := shapes()
	for name, s := range d.Components.Schemas {
		if _, ok := all[name]; !ok && !strings.HasSuffix(name, "Page") {
			t.Errorf("schema %s stands for no struct", name)
		}
		for _, r := range s.Required {
			if _, ok := s.Properties[r]; !ok {
				t.Errorf("schema %s requires %s, which it does not have", name, r)
			}
		}
	}
	for name, st := range all {
		s, ok := d.Components.Schemas[name]
		if !ok {
			t.Errorf("struct %s has no schema", name)
			continue
		}
		fields := map[string]bool{}
		for f := range st.Fields() {
			tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			fields[tag] = true
			p, ok := s.Properties[tag]
			if !ok {
				t.Errorf("schema %s lacks %s", name, tag)
				continue
			}
			if want := describe(f.Type); want != p.describe() {
				t.Errorf("schema %s.%s is %s, the struct says %s", name, tag, p.describe(), want)
			}
			// What an answer always holds is required there.
			if options == "" && !slices.Contains(s.Required, tag) {
				t.Errorf("schema %s: %s is always there, and not required", name, tag)
			}
		}
		for p := range s.Properties {
			if !fields[p] {
				t.Errorf("schema %s has %s, which the struct lacks", name, p)
			}
		}
	}
}

func describe(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return describe(t.Elem())
	case reflect.Slice:
		return "list of " + describe(t.Elem())
	case reflect.Map:
		return "map"
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return "time"
		}
		return t.Name()
	case reflect.Int, reflect.Int64:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.Bool:
		return "boolean"
	case reflect.Interface:
		return "" // any value: a schema that says nothing
	}
	return t.Kind().String()
}

func (s schema) describe() string {
	switch {
	case s.Ref != "":
		return s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
	case s.Items != nil:
		return "list of " + s.Items.describe()
	case s.AdditionalProperties != nil:
		return "map"
	case s.Format == "date-time":
		return "time"
	}
	word, _ := s.Type.(string)
	return word
}

// TestDocumentHoldsTogether checks what a reader of the document relies on: references lead somewhere, operations
// have unique names, parameters in paths are declared, every operation says how it refuses.
func TestDocumentHoldsTogether(t *testing.T) {
	d := load(t)
	if d.OpenAPI != "3.1.0" {
		t.Errorf("openapi: %q", d.OpenAPI)
	}
	var whole yaml.Node
	if err := yaml.Unmarshal(OpenAPI(), &whole); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for name := range d.Components.Schemas {
		known["#/components/schemas/"+name] = true
	}
	for name := range d.Components.Parameters {
		known["#/components/parameters/"+name] = true
	}
	for name := range d.Components.Responses {
		known["#/components/responses/"+name] = true
	}
	used := map[string]bool{}
	walk(&whole, func(key, value *yaml.Node) {
		if key.Value == "description" && strings.Contains(value.Value, "`json:") {
			t.Errorf("line %d: the description is source text", value.Line)
		}
		if key.Value != "$ref" {
			return
		}
		used[value.Value] = true
		if !known[value.Value] {
			t.Errorf("line %d: %s leads nowhere", value.Line, value.Value)
		}
	})
	for ref := range known {
		if !used[ref] {
			t.Errorf("%s is used by nothing", ref)
		}
	}
	operations := map[string]string{}
	for path, methods := range d.Paths {
		declared := ""
		for _, method := range slices.Sorted(maps.Keys(methods)) {
			node := methods[method]
			if method == "parameters" {
				raw, err := yaml.Marshal(&node)
				if err != nil {
					t.Fatal(err)
				}
				declared = string(raw)
				continue
			}
			var op struct {
				ID        string               `yaml:"operationId"`
				Summary   string               `yaml:"summary"`
				Responses map[string]yaml.Node `yaml:"responses"`
			}
			if err := node.Decode(&op); err != nil {
				t.Fatal(err)
			}
			if op.ID == "" || op.Summary == "" || operations[op.ID] != "" {
				t.Errorf("%s %s: operationId %q (also %q), summary %q", method, path, op.ID, operations[op.ID], op.Summary)
			}
			operations[op.ID] = path
			if _, ok := op.Responses["default"]; !ok || len(op.Responses) < 2 {
				t.Errorf("%s %s: responses %v", method, path, slices.Collect(maps.Keys(op.Responses)))
			}
		}
		if n := strings.Count(path, "{"); strings.Count(declared, "Ref'")+strings.Count(declared, `Ref"`) != n {
			t.Errorf("%s: %d parameters in the path, declared: %s", path, n, declared)
		}
	}
}

func walk(n *yaml.Node, each func(key, value *yaml.Node)) {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			each(n.Content[i], n.Content[i+1])
		}
	}
	for _, c := range n.Content {
		walk(c, each)
	}
}
