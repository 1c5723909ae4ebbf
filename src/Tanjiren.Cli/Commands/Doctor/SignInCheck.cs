using Tanjiren.Agent.Keys;
using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Doctor;

/// <summary>Whether the stored sign-in is good; and with it, which version the server has.</summary>
internal static class SignInCheck
{
    private const string Name = "sign-in";

    public static DoctorCheck Check { get; } = new(Name, Verdict.Warning, RunAsync);

    private static async Task<Finding> RunAsync(DoctorScene scene, CancellationToken cancellation)
    {
        if (scene.AccessTrouble is { } trouble) return Finding.Warning(Name, Text.Safe(trouble.Message), trouble.Hint ?? "sign in again with `tanvrit-compute auth login`");
        if (scene.Access is null) return Finding.Ok(Name, "nobody is signed in; a paired machine needs nobody");
        ServerAccess access;
        try
        {
            access = await Task.Run(() => scene.Cli.Credentials.TryResolve(scene.Flags, scene.Cli.Variable, out var whole) ? whole : scene.Access, cancellation);
        }
        catch (KeychainException e)
        {
            return Finding.Warning(Name, Text.Safe(e.What), e.Next);
        }
        catch (CliException e)
        {
            return Finding.Warning(Name, Text.Safe(e.Message), e.Hint ?? "sign in again with `tanvrit-compute auth login`");
        }
        using var client = new ClientSession(scene.Cli, access);
        try
        {
            var status = await client.Api.GetAsync("/api/status", WireJson.Default.StatusBody, cancellation);
            var version = status.Version.Split('+')[0];
            return Finding.Ok(Name, $"signed in ({access}); the server has version {Text.Safe(version)}, this program {CommandTree.Version}");
        }
        catch (Exception e) when (e is ApiException or OAuthException or SignInEndedException)
        {
            return Finding.Warning(Name, $"the sign-in ({access}) is refused: {Text.Safe(e.Message)}", "sign in again with `tanvrit-compute auth login`");
        }
        catch (UnreachableException e)
        {
            return Finding.Warning(Name, $"the sign-in ({access}) can't be tried: {Text.Safe(e.Message)}", "see what this says of the server");
        }
    }
}
