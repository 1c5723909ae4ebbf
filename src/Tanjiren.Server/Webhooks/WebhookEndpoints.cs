using System.Net;
using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Organizations;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Webhooks;

/// <summary>The webhook of the organization that the credential acts in; every other organization is 404.</summary>
internal static class WebhookEndpoints
{
    private const int TestsInWindow = 10;
    private static readonly TimeSpan TestWindow = TimeSpan.FromMinutes(5);

    public static IServiceCollection AddWebhooks(this IServiceCollection services) => services
        .AddFeatureOptions<WebhookOptions>("Webhooks")
        .AddSingleton<NameLookup>(Dns.GetHostAddressesAsync)
        .AddSingleton<WebhookService>()
        .AddSingleton<WebhookSender>()
        .AddLoop<WebhookLoop>();

    public static void MapWebhooks(this IEndpointRouteBuilder routes)
    {
        var webhook = routes.MapGroup("/api/organizations/{id}/webhook").WithTags("Webhook");
        webhook.MapGet("", GetAsync).WithName("getWebhook").WithSummary("Where the organization is told of its approvals.").RequireRole(Role.Admin).AnswersProblems(404);
        webhook.MapPut("", SetAsync).WithName("setWebhook").WithSummary("Sets or moves the webhook; a secret that is made by it is shown this once.")
            .RequireRole(Role.Admin).AnswersProblems(400, 404, 408, 413, 415, 422);
        webhook.MapDelete("", RemoveAsync).WithName("removeWebhook").WithSummary("Removes the webhook, and drops what it was not told yet.").RequireRole(Role.Admin).AnswersProblems(404);
        webhook.MapPost("/test", TestAsync).WithName("testWebhook").WithSummary("Sends a message to see whether it arrives; its delivery tells.")
            .RequireRole(Role.Admin).AnswersProblems(404, 429);
        webhook.MapGet("/deliveries", ListAsync).WithName("listWebhookDeliveries").WithSummary("The messages of the last eight days and what became of them, newest first.")
            .RequireRole(Role.Admin).AnswersProblems(400, 404, 422);
    }

    private static async Task<Results<Ok<WebhookBody>, Problem>> GetAsync(string id, Caller caller, WebhookService service, CancellationToken cancellationToken)
    {
        if (MemberEndpoints.Foreign(id, caller) is { } foreign) return foreign;
        return await service.FindAsync(caller, cancellationToken) is { } row ? TypedResults.Ok(row.ToBody()) : None();
    }

    private static async Task<Results<Ok<SavedWebhook>, Problem>> SetAsync(string id, SetWebhookRequest request, Caller caller, HttpContext context, WebhookService service,
        ServerAddress address, WebhookOptions options, CancellationToken cancellationToken)
    {
        if (MemberEndpoints.Foreign(id, caller) is { } foreign) return foreign;
        var errors = new FieldErrors();
        var url = WebhookRules.CheckUrl(request.Url, options.AllowPrivate, errors);
        if (errors.Any) return errors.ToProblem();
        var (row, made, why) = await service.SetAsync(caller, url, address.UrlOf(context.Request), request.RotateSecret == true, cancellationToken);
        if (row is null) return MemberEndpoints.NotAllowed(why!);
        return TypedResults.Ok(new SavedWebhook { Webhook = row.ToBody(), Secret = made ? WebhookRules.SecretText(row.Secret) : null });
    }

    private static async Task<Results<NoContent, Problem>> RemoveAsync(string id, Caller caller, WebhookService service, CancellationToken cancellationToken)
    {
        if (MemberEndpoints.Foreign(id, caller) is { } foreign) return foreign;
        var (removed, why) = await service.RemoveAsync(caller, cancellationToken);
        if (why is not null) return MemberEndpoints.NotAllowed(why);
        return removed ? TypedResults.NoContent() : None();
    }

    private static async Task<Results<Accepted<WebhookDeliveryBody>, Problem>> TestAsync(
        string id, Caller caller, WebhookService service, AttemptLimiter limiter, CancellationToken cancellationToken)
    {
        if (MemberEndpoints.Foreign(id, caller) is { } foreign) return foreign;
        // A webhook can be set to anybody's address: they shall not be shelled by it.
        if (limiter.Take("webhook-test:" + caller.OrganizationId, TestsInWindow, TestWindow) is { } seconds) return SignIn.TooMany("tests of this webhook", seconds);
        var (message, why) = await service.TestAsync(caller, cancellationToken);
        if (why is not null) return MemberEndpoints.NotAllowed(why);
        return message is null ? None() : TypedResults.Accepted($"/api/organizations/{id}/webhook/deliveries", message.ToBody());
    }

    private static async Task<Results<Ok<Page<WebhookDeliveryBody>>, Problem>> ListAsync(
        string id, int? limit, string? cursor, Caller caller, WebhookService service, CancellationToken cancellationToken)
    {
        if (MemberEndpoints.Foreign(id, caller) is { } foreign) return foreign;
        if (Paging.Read(limit, cursor, out var page) is { } problem) return problem;
        var rows = await service.DeliveriesAsync(caller, page.After, page.Fetch, cancellationToken);
        return TypedResults.Ok(page.ToPage(rows, row => row.ToBody(), row => row.Id));
    }

    private static Problem None() => Problem.Of(404, ErrorCode.NotFound, "This organization has no webhook.", "Set one: `webhook set URL`, or PUT …/webhook.");
}
