using System.CommandLine;
using System.Net.Http.Headers;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Artifacts;

/// <summary><c>artifacts add</c>.</summary>
internal static class ArtifactsAddCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var place = new Argument<string>("PLACE") { Description = "Id of the job (task_…) or investigation (ivg_…) that it belongs to" };
        var note = Options.Text("--note", "TEXT", "A note in Markdown; - reads it from standard input");
        var link = Options.Text("--link", "URL", "An http or https address");
        var file = Options.Text("--file", "PATH", "Evidence: this file as it is, up to 10 MiB");
        var title = Options.Text("--title", "TEXT", "What it is (default: the address, or the name of the file; a note needs one)");
        var mediaType = Options.Text("--media-type", "TYPE", "What the file is, for example text/csv (default application/octet-stream)");
        var command = new CliCommand("add", "Attach a note, a link or a file to a job or an investigation")
        {
            Arguments = { place },
            Options = { note, link, file, title, mediaType },
            Details = "A file is sent with its SHA-256 and stored only if it arrives as that. Artifacts are never changed, and outlive their job.",
            Examples =
            [
                "tanvrit-compute artifacts add task_… --title 'Why it failed' --note 'The disk was full.'",
                "tanvrit-compute artifacts add ivg_… --file heap.svg --media-type image/svg+xml",
            ],
        };
        var output = new OutputOptions(command, "Print the artifact as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            var (text, url, path) = (new StandardInput(cli).Text(parse.GetValue(note)), parse.GetValue(link), parse.GetValue(file));
            if (new[] { text, url, path }.Count(given => given is not null) != 1)
                throw new CliException("it is not clear what to attach", "give one of --note TEXT, --link URL and --file PATH");
            if (path is null && parse.GetValue(mediaType) is not null) throw new CliException("--media-type is given without --file", "it says what the file is");
            if (parse.GetValue(mediaType) is { } type && !MediaTypeHeaderValue.TryParse(type, out _)) throw new CliException($"--media-type: '{Text.Safe(type)}' is not a media type", "for example text/csv");
            var bytes = path is null ? null : Read(path);
            using var client = ClientSession.Open(cli, server.Of(parse));
            var to = parse.GetValue(place)!;
            var made = bytes is not null
                ? await client.Artifacts.UploadAsync(to, bytes, parse.GetValue(title), Path.GetFileName(path), parse.GetValue(mediaType), cancellation)
                : await client.Artifacts.AddAsync(to, new CreateArtifactRequest
                {
                    Kind = url is null ? ArtifactKind.Note : ArtifactKind.Link, Title = parse.GetValue(title), Text = text, Url = url,
                }, cancellation);
            if (!output.TryWrite(cli, parse, made, w => w.ArtifactBody, made.Id)) cli.Out.WriteLine(made.Id);
            return ExitCode.Ok;
        });
        return command;
    }

    private static byte[] Read(string path)
    {
        var info = new FileInfo(path);
        if (!info.Exists) throw new CliException($"there is no file '{Text.Safe(path)}'", "give the path of a file");
        if (info.Length > WireLimits.MaxArtifactBytes)
            throw new CliException($"'{Text.Safe(path)}' has {Text.Bytes(info.Length)}, and an artifact has at most {Text.Bytes(WireLimits.MaxArtifactBytes)}", "attach the part that matters, or a link to where it is");
        return File.ReadAllBytes(path);
    }
}
