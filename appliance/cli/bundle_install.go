package cli

import (
	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) bundleInstall() *cobra.Command {
	var in api.InstallCreate
	var allowUnsigned, noInstall, detach bool
	cmd := &cobra.Command{
		Use: "install FILE", Short: "Bring a bundle to the appliance, and serve its model", Args: words("FILE", 1, 1),
		Long: "Bring a bundle to the appliance, verified on the way, and install its model as palisade install does. Nothing changes\n" +
			"before the last byte has been verified. Once it is there, palisade install bundle/NAME installs it again.",
		Example: "  palisade bundle install qwen3-8b.bundle\n  ssh elsewhere palisade bundle create qwen3-8b -o - | palisade bundle install -",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			got, err := a.bringBundle(cmd.Context(), c, args[0], allowUnsigned)
			if err != nil {
				return err
			}
			if noInstall {
				return a.show(result{quiet: []string{got.Source}, json: got, text: func() error {
					a.notef("the bundle of %s is here: palisade install %s", got.Name, got.Source)
					return nil
				}})
			}
			if got.Image != "" && !got.ImageUsed {
				a.notef("this appliance runs no containers: the image %s of the bundle is left out", got.Image)
			}
			in.Source = got.Source
			made, err := a.beginInstall(cmd.Context(), c, in)
			if err != nil {
				return err
			}
			return a.followInstall(cmd.Context(), c, made, detach)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&allowUnsigned, "allow-unsigned", false, "take it though no key that is trusted has signed it")
	f.BoolVar(&noInstall, "no-install", false, "bring it alone")
	f.StringVar(&in.Name, "name", "", "name of the model and its service (default: the recipe's)")
	f.StringVar(&in.Variant, "variant", "", "of the recipe (default: the first that fits)")
	f.StringSliceVar(&in.Devices, "devices", nil, "ids or kinds of accelerators that it may run on (default: any)")
	f.IntVar(&in.Context, "context", 0, "tokens of a conversation (default: the variant's)")
	f.BoolVar(&in.AcceptLicense, "accept-license", false, "the licence was read, and is accepted")
	f.BoolVar(&in.NoService, "no-service", false, "bring the files alone")
	f.BoolVar(&in.NoCalibrate, "no-calibrate", false, "do not measure how fast it is")
	f.BoolVar(&in.Force, "force", false, "try it though it does not fit")
	f.BoolVarP(&detach, "detach", "d", false, "do not wait for the install")
	return cmd
}
