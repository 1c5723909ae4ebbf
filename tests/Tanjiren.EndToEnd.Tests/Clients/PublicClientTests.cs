using System.Diagnostics;
using System.Net.Http.Json;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;

using Tanjiren.EndToEnd.Tests.Cli;
using Tanjiren.EndToEnd.Tests.SignIn;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Clients;

/// <summary>Client libraries from npm that know the RFCs and nothing of Tanjiren, against a real server (tests/clients; eng/test installs them).</summary>
public sealed partial class PublicClientTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Oauth4webapi_signs_in_by_the_device_grant_refreshes_and_revokes()
    {
        await using var server = await HostedServer.StartAsync();
        using var client = NodeProgram.Start("device-grant.mjs", server.Url);
        await Eventually.TrueAsync(() => Page().IsMatch(client.Output.Text) || client.HasExited, client.Describe);
        var page = Page().Match(client.Output.Text);
        page.Success.ShouldBeTrue(client.Describe());

        // One poll at least must be told to wait.
        await Eventually.TrueAsync(() => client.Output.Text.Contains("authorization_pending", StringComparison.Ordinal) || client.HasExited, client.Describe);
        await server.Person.ApproveAsync(page.Value);

        (await client.EndAsync()).ShouldBe(0, client.Describe());
        client.Output.Text.ShouldEndWith("done\n");
    }

    [Fact]
    public async Task Proofs_of_the_dpop_package_are_accepted()
    {
        await using var server = await HostedServer.StartAsync();
        using var made = await server.Owner.PostAsJsonAsync("/api/instances", new CreateInstanceRequest { Name = "node" }, WireJson.Default.CreateInstanceRequest, Cancelled);
        var instance = (await made.Content.ReadFromJsonAsync(WireJson.Default.InstanceBody, Cancelled))!;
        using var coded = await server.Owner.PostAsync($"/api/instances/{instance.Id}/pairing-code", null, Cancelled);
        var code = (await coded.Content.ReadFromJsonAsync(WireJson.Default.PairingCodeBody, Cancelled))!.Code;

        using var client = NodeProgram.Start("dpop.mjs", server.Url, code, instance.Id);

        (await client.EndAsync()).ShouldBe(0, client.Describe());
        client.Output.Text.ShouldBe("done\n");
    }

    [GeneratedRegex(@"http://\S+/device\?user_code=\S+", RegexOptions.None, 1000)]
    private static partial Regex Page();

    private sealed class NodeProgram : IDisposable
    {
        private static readonly TimeSpan Limit = TimeSpan.FromMinutes(2);

        private readonly Process process;
        private readonly Task copying;

        private NodeProgram(Process process)
        {
            this.process = process;
            copying = Task.WhenAll(process.StandardOutput.BaseStream.CopyToAsync(Output), process.StandardError.BaseStream.CopyToAsync(Error));
        }

        public CapturedStream Output { get; } = new();

        public CapturedStream Error { get; } = new();

        public bool HasExited => process.HasExited;

        public static NodeProgram Start(string script, params string[] arguments)
        {
            var clients = Directory();
            var node = Prerequisite.Program("node");
            Prerequisite.Require(System.IO.Directory.Exists(Path.Combine(clients, "node_modules")), "the packages of tests/clients (eng/test installs them where npm is)");
            return new NodeProgram(Process.Start(new ProcessStartInfo(node, [Path.Combine(clients, script), .. arguments])
            {
                UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = clients,
            })!);
        }

        public async Task<int> EndAsync()
        {
            using var limit = new CancellationTokenSource(Limit, TimeProvider.System);
            await process.WaitForExitAsync(limit.Token);
            await copying;
            return process.ExitCode;
        }

        public string Describe() => $"--- out ---{Environment.NewLine}{Output.Text}{Environment.NewLine}--- err ---{Environment.NewLine}{Error.Text}";

        public void Dispose()
        {
            if (!process.HasExited) process.Kill();
            process.Dispose();
        }

        private static string Directory([CallerFilePath] string here = "") => Path.Combine(Path.GetDirectoryName(here)!, "..", "..", "clients");
    }
}
