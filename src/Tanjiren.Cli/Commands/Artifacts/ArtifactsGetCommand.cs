using System.CommandLine;
using System.Security.Cryptography;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Artifacts;

/// <summary><c>artifacts get</c>.</summary>
internal static class ArtifactsGetCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var id = new Argument<string>("ARTIFACT") { Description = "Id of the artifact (art_…)" };
        var save = Options.Text("--save", "FILE", "Write the content to this new file instead of standard output");
        var command = new CliCommand("get", "Read an artifact's content")
        {
            Arguments = { id },
            Options = { save },
            Details = "The content goes to standard output or the file, byte for byte, once it has the SHA-256 that it was stored with. Of a link: its address.",
        };
        var output = new OutputOptions(command, "Print what is known of it as JSON, instead of its content");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var artifact = await client.Artifacts.GetAsync(parse.GetValue(id)!, cancellation);
            if (output.TryWrite(cli, parse, artifact, w => w.ArtifactBody, artifact.Id)) return ExitCode.Ok;
            if (artifact.Url is { } url)
            {
                cli.Out.WriteLine(Text.Safe(url));
                return ExitCode.Ok;
            }
            var content = await client.Artifacts.ContentAsync(artifact.Id, cancellation);
            if (Convert.ToHexStringLower(SHA256.HashData(content)) != artifact.Sha256)
                throw new CliException("the content does not have the SHA-256 that it was stored with", "try again; if it stays so, it was changed where it is stored");
            if (parse.GetValue(save) is { } path)
            {
                await using var file = new FileStream(path, FileMode.CreateNew);
                await file.WriteAsync(content, cancellation);
                cli.Say($"{Text.Bytes(content.LongLength)} written to {Text.Safe(path)}; sha256 {artifact.Sha256}");
            }
            else await cli.Output.WriteAsync(content, cancellation);
            return ExitCode.Ok;
        });
        return command;
    }
}
