using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Webhook;

/// <summary><c>webhook set</c>.</summary>
internal static class WebhookSetCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var url = new Argument<string>("URL") { Description = "https address of the receiver; - reads it from standard input" };
        var rotate = Options.Flag("--rotate-secret", "Make another secret; the old one signs nothing from then on");
        var json = Options.Json("Print the webhook, and its secret if that is new, as JSON");
        var command = new CliCommand("set", "Have the organization's approvals told to an address (admins)")
        {
            Arguments = { url },
            Options = { rotate, json },
            Details = "There is one webhook; setting another address moves it. The secret that messages are signed with is printed when it is made: with the first address, or with --rotate-secret. It is shown only then.",
            Examples = ["tanvrit-compute webhook set https://hooks.example.org/tanjiren"],
        };
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            var address = parse.GetValue(url) == "-" ? (cli.Input.ReadLine() ?? "").Trim() : parse.GetValue(url)!;
            using var client = ClientSession.Open(cli, server.Of(parse));
            var saved = await client.Webhook.SetAsync(new SetWebhookRequest { Url = address, RotateSecret = parse.GetValue(rotate) }, cancellation);
            if (parse.GetValue(json))
            {
                Json.Write(cli, saved, w => w.SavedWebhook);
                return ExitCode.Ok;
            }
            if (saved.Secret is { } secret) cli.Out.WriteLine(secret);
            cli.Say(saved.Secret is null ? "the webhook is set; its secret is the one that it had" : "the webhook is set; above is its secret, which is not shown again");
            cli.Say("try it with `tanvrit-compute webhook test`");
            return ExitCode.Ok;
        });
        return command;
    }
}
